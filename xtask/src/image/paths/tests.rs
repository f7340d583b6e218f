use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::cargo::program;

const RUST: &str = r#"
#[path = "HOME/registry/dependency.rs"]
pub mod dependency;
#[inline(never)]
pub fn own(numbers: &[u8]) -> u8 { numbers[3] }
pub fn of_std(numbers: &mut [u8], map: &mut std::collections::BTreeMap<u8, u8>) {
    numbers.sort_by_key(|number| 255 - number);
    map.pop_first();
}
"#;
const DEPENDENCY: &str = "#[inline(never)] pub fn foreign() -> &'static str { file!() }";
const C: &str = "const char *file(void) { return __FILE__; }";

/// Folders like those of a machine, all within one.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// With the toolchain's own source code, or without.
    fn new(folder: PathBuf, rust_src: bool) -> Self {
        let machine = Self { folder };
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let home = machine.folder.join("home");
        write(home.join("registry/dependency.rs"), DEPENDENCY);
        write(
            machine.folder.join("checkout/lib.rs"),
            &RUST.replace("HOME", home.to_str().unwrap()),
        );
        write(machine.folder.join("checkout/file.c"), C);
        let rustlib = machine.folder.join("rust/lib/rustlib");
        fs::create_dir_all(&rustlib).unwrap();
        let library = PathBuf::from(rustc(&["--print", "target-libdir"]).unwrap());
        let target = library.parent().unwrap();
        symlink(target, rustlib.join(target.file_name().unwrap())).unwrap();
        if rust_src {
            write(rustlib.join("src/rust/library/std/src/lib.rs"), "");
        }
        machine
    }

    fn paths(&self) -> Paths {
        let in_it = |name: &str| self.folder.join(name);
        let rust = rustc(&["--version", "--verbose"]).unwrap();
        Paths::of(&in_it("checkout"), &in_it("home/"), &in_it("rust"), &rust).unwrap()
    }

    /// Object code of the Rust and the C file.
    fn compile(&self, rust_flags: &[String], c_flags: &[String]) -> [Vec<u8>; 2] {
        let source = |name: &str| self.folder.join("checkout").join(name);
        let mut rust = Command::new(program("RUSTC", "rustc"));
        rust.args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=obj",
            "-O",
            "--sysroot",
        ])
        .arg(self.folder.join("rust"))
        .args(rust_flags)
        .arg(source("lib.rs"));
        let mut c = Command::new("cc");
        c.arg("-c").args(c_flags).arg(source("file.c"));
        [rust, c].map(|mut compiler| {
            let object = self.folder.join("object.o");
            compiler.arg("-o").arg(&object).current_dir(repository());
            let output = compiler.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::read(object).unwrap()
        })
    }
}

#[test]
fn the_same_source_code_in_other_folders_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let short = Machine::new(folder.path().join("short"), false);
    let long = Machine::new(folder.path().join("one/with/a/longer/path"), true);
    let [here, there] = [&short, &long].map(|machine| machine.compile(&[], &[]));
    let differ = here.iter().zip(&there).all(|(here, there)| here != there);
    assert!(differ, "the folders show without the flags");

    let compiled = [&short, &long].map(|machine| {
        let paths = machine.paths();
        machine.compile(&paths.rust_flags(), &paths.c_flags())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for ((short, long), language) in compiled[0].iter().zip(&compiled[1]).zip(["Rust", "C"]) {
        assert_eq!(text(short), text(long), "{language}");
    }
    let [rust, c] = &compiled[0];
    for told in ["/leeward/lib.rs", "/cargo/registry/dependency.rs", "/rustc/"] {
        assert!(text(rust).contains(told), "{told}");
    }
    assert!(text(c).contains("/leeward/file.c"));
}

#[test]
fn a_toolchain_of_no_commit_is_known_by_its_release() {
    let of = |commit: &str| without_sources(&format!("rustc 1.2.3\ncommit-hash: {commit}\nrelease: 1.2.3\n"));
    assert_eq!(of("0a1b").unwrap(), "/rustc/0a1b");
    assert_eq!(of("unknown").unwrap(), "/rustc/1.2.3");
    assert!(without_sources("gcc").is_err());
}
