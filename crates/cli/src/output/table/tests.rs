use super::*;

fn screen(width: usize) -> Screen {
    Screen { width, colour: false }
}

const FINDINGS: [[&str; 5]; 2] = [
    [
        "orders",
        "1.5 s/s",
        "NoPeerInHome",
        "",
        "no peer in us-east: the stream's replicas have to move there",
    ],
    [
        "payments-north-america-2026",
        "3 ms/s",
        "",
        "",
        "a caught-up peer can take over",
    ],
];

fn findings() -> Table<'static, [&'static str; 5]> {
    Table::of(&FINDINGS)
        .name("STREAM", |row| row[0])
        .number("GAIN", |row| row[1])
        .word("REASON", |row| row[2])
        .name("NOTE", |row| row[3])
        .text("MESSAGE", 30, |row| row[4])
}

#[test]
fn columns_are_aligned_and_empty_ones_are_left_out() {
    insta::assert_snapshot!(findings().render(screen(140)), @r"
    STREAM                          GAIN  REASON        MESSAGE
    orders                       1.5 s/s  NoPeerInHome  no peer in us-east: the stream's replicas have to move there
    payments-north-america-2026   3 ms/s                a caught-up peer can take over
    ");
}

#[test]
fn sentences_wrap_in_the_room_that_is_left() {
    insta::assert_snapshot!(findings().render(screen(90)), @r"
    STREAM                          GAIN  REASON        MESSAGE
    orders                       1.5 s/s  NoPeerInHome  no peer in us-east: the stream's
                                                        replicas have to move there
    payments-north-america-2026   3 ms/s                a caught-up peer can take over
    ");
}

#[test]
fn sentences_are_left_out_where_they_have_no_room_and_it_can_be_told() {
    assert!(!findings().leaves_out(screen(90)));
    assert!(findings().leaves_out(screen(80)));
    insta::assert_snapshot!(findings().render(screen(80)), @r"
    STREAM                          GAIN  REASON
    orders                       1.5 s/s  NoPeerInHome
    payments-north-america-2026   3 ms/s
    ");
}

#[test]
fn spare_columns_are_left_out_before_names_wrap() {
    let table = Table::of(&[["payments-north-america-2026", "us-east-1", "StreamPlacement"]])
        .name("STREAM", |row| row[0])
        .spare_name("LEADER", |row| row[1])
        .word("REMEDY", |row| row[2]);
    assert!(table.render(screen(60)).contains("us-east-1"));
    insta::assert_snapshot!(table.render(screen(50)), @r"
    STREAM                       REMEDY
    payments-north-america-2026  StreamPlacement
    ");
}

#[test]
fn names_wrap_before_anything_is_too_wide() {
    insta::assert_snapshot!(findings().render(screen(40)), @r"
    STREAM                GAIN  REASON
    orders             1.5 s/s  NoPeerInHome
    payments-north-     3 ms/s
    america-2026
    ");
}

#[test]
fn no_line_is_wider_than_the_screen_whatever_is_in_the_cells() {
    let nasty = [
        "n".repeat(255),
        "日本語".repeat(40),
        "\u{1f469}\u{200d}\u{1f680}".repeat(30),
        "word ".repeat(50),
        "❤\u{fe0f}".repeat(90),
    ];
    for width in 40..150 {
        let shifts: Vec<usize> = (0..nasty.len()).collect();
        let cell = |at: usize| nasty[at % nasty.len()].as_str();
        let table = Table::of(&shifts)
            .name("STREAM", |shift| cell(*shift))
            .number("GAIN", |shift| cell(shift + 1))
            .word("REASON", |shift| cell(shift + 2))
            .name("LEADER", |shift| cell(shift + 3))
            .text("MESSAGE", 24, |shift| cell(shift + 4));
        for line in table.render(screen(width)).lines() {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} at {width}: {line}");
        }
    }
}

#[test]
fn a_table_without_rows_is_nothing() {
    let none: [&str; 0] = [];
    let table = Table::of(&none).name("STREAM", |row| *row);
    assert!(table.is_empty());
    assert_eq!(table.render(screen(80)), "");
}
