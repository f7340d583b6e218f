//! Requirements for the binary of an image that holds nothing else.

use object::{
    elf::{FileHeader64, PT_INTERP},
    read::elf::{FileHeader as _, ProgramHeader as _},
};

/// Why a binary may not go into the image: it needs a loader, or has paths of the build machine. Paths end in a slash.
pub fn why_unfit(binary: &[u8], machine_paths: &[String]) -> Option<String> {
    match needs_interpreter(binary) {
        Err(error) => return Some(format!("it is no 64-bit ELF binary: {error}")),
        Ok(true) => {
            return Some(
                "it is linked dynamically, and the image has no loader; build it for a musl target"
                    .to_owned(),
            );
        }
        Ok(false) => {}
    }
    let text = String::from_utf8_lossy(binary);
    let path = machine_paths.iter().find(|path| text.contains(path.as_str()))?;
    Some(format!(
        "it contains `{path}`, a path of this machine, so another machine would build other bytes; remap it in \
         xtask/src/image/paths.rs"
    ))
}

fn needs_interpreter(binary: &[u8]) -> object::Result<bool> {
    let header = FileHeader64::<object::Endianness>::parse(binary)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, binary)?;
    Ok(segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP))
}
