use super::archive::pack;
use super::binary::why_unfit;
use super::content::{CERTIFICATES, File, files};
use super::proof::{prove, read, why_too_large, why_unsafe};
use super::*;

pub fn image(binary: &[u8]) -> Image {
    Image {
        reference: "registry.example/team/leeward:1.2.3".parse().unwrap(),
        labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "leeward".to_owned())]),
        architecture: "amd64",
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        files: files(binary.to_vec()),
    }
}

#[test]
fn what_is_packed_is_read_back_and_twice_the_same() {
    let image = image(b"a binary");
    let bytes = pack(&image).unwrap();
    assert_eq!(bytes, pack(&image).unwrap());
    let unpacked = read(&bytes).unwrap();
    let by_path = |files: &[File]| -> BTreeMap<String, (u32, Digest)> {
        let one = |file: &File| (file.path.clone(), (file.mode, Digest::of(&file.bytes)));
        files.iter().map(one).collect()
    };
    assert_eq!(by_path(&unpacked.files), by_path(&image.files));
    assert_eq!(unpacked.config["User"], "65532:65532");
    assert_eq!(unpacked.config["Entrypoint"][0], "/leeward");
    assert_eq!(why_unsafe(&unpacked), None);
    let names = String::from_utf8_lossy(&bytes).contains("registry.example/team/leeward:1.2.3");
    assert!(names, "the archive says what it is called");
}

#[test]
fn a_changed_blob_is_found_by_its_digest() {
    let bytes = pack(&image(b"a binary")).unwrap();
    let needle = b"65532:65532";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    let mut changed = bytes;
    changed[at] = b'7';
    let error = read(&changed).unwrap_err().to_string();
    assert!(error.contains("has other bytes"), "{error}");
}

#[test]
fn root_a_file_that_others_may_change_and_missing_certificates_are_refused() {
    let of = |change: &dyn Fn(&mut proof::Unpacked)| {
        let mut unpacked = read(&pack(&image(b"a binary")).unwrap()).unwrap();
        change(&mut unpacked);
        why_unsafe(&unpacked).unwrap()
    };
    assert!(of(&|unpacked| unpacked.config["User"] = "0:0".into()).contains("not root's"));
    assert!(of(&|unpacked| unpacked.config["User"] = "leeward".into()).contains("not root's"));
    assert!(of(&|unpacked| unpacked.files[0].mode = 0o777).contains("777"));
    let without = |file: &File| file.path != CERTIFICATES;
    assert!(of(&|unpacked| unpacked.files.retain(without)).contains(CERTIFICATES));
}

#[test]
fn a_binary_that_does_not_run_is_no_image() {
    let image = image(b"#!/bin/false\n");
    let error = prove(&pack(&image).unwrap(), &image).unwrap_err();
    assert!(format!("{error:#}").contains("`leeward version`"), "{error:#}");
}

#[test]
fn a_binary_that_needs_a_loader_or_tells_of_its_machine_is_unfit() {
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(why_unfit(&own, &[]).unwrap().contains("linked dynamically"));
    assert!(why_unfit(b"no ELF", &[]).unwrap().contains("ELF"));
    let fit = [elf_header().as_slice(), b"/cargo/registry/a.rs"].concat();
    assert_eq!(why_unfit(&fit, &["/home/me/".into()]), None);
    let telling = [elf_header().as_slice(), b"/home/me/a.rs"].concat();
    assert!(
        why_unfit(&telling, &["/home/me/".into()])
            .unwrap()
            .contains("/home/me/")
    );
}

/// Of a static 64-bit binary without a program header.
fn elf_header() -> [u8; 64] {
    let mut header = [0; 64];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    // e_type, e_machine, e_version, e_ehsize, e_phentsize
    for (at, value) in [(16, 2), (18, 62), (20, 1), (52, 64), (54, 56)] {
        header[at] = value;
    }
    header
}

#[test]
fn above_twenty_megabytes_it_is_too_large() {
    assert_eq!(why_too_large(20_000_000), None);
    assert!(why_too_large(20_000_001).unwrap().contains("20000001 bytes"));
}

#[test]
fn the_certificates_are_read_by_those_who_read_pem() {
    let folder = tempfile::tempdir().unwrap();
    content::write(folder.path(), &files(Vec::new())).unwrap();
    let read = rustls_native_certs::load_certs_from_paths(Some(&folder.path().join(CERTIFICATES)), None);
    assert!(read.errors.is_empty(), "{:?}", read.errors);
    assert!(read.certs.len() > 50, "{}", read.certs.len());
}
