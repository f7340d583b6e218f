//! `leeward completion` and `leeward man`: what shells and manuals need to know of the arguments.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;

/// Prints a shell's completion script.
pub fn completion(shell: Shell) -> anyhow::Result<()> {
    crate::output::write(&script(shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "leeward", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes one manual page for each command.
pub fn man(folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Command;

    use super::*;

    /// The commands that help shows.
    fn commands() -> Vec<Command> {
        let root = Args::command();
        let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
        shown.cloned().collect()
    }

    fn options(command: &Command) -> BTreeSet<String> {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        shown
            .filter_map(|argument| argument.get_long().map(str::to_owned))
            .collect()
    }

    #[test]
    fn completion_knows_every_command_and_option() {
        let commands = commands();
        assert!(commands.len() >= 12, "{commands:?}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for command in &commands {
                let name = command.get_name();
                // Each shell has its own syntax for what follows which command.
                let entry = match shell {
                    Shell::Fish => format!("-a \"{name}\""),
                    Shell::Zsh => format!("'{name}:"),
                    _ => format!("leeward,{name})"),
                };
                assert!(script.contains(&entry), "{shell}: {name}");
                for option in options(command) {
                    let entry = match shell {
                        Shell::Fish => format!("-l {option} "),
                        _ => format!("--{option}"),
                    };
                    assert!(script.contains(&entry), "{shell}: {name} --{option}");
                }
            }
        }
    }

    /// The program for kubectl as the manual shows it, with what it calls, in a folder.
    fn kubectl_completion() -> tempfile::TempDir {
        let manual = include_str!("../../../../docs/cli.md");
        let (_, program) = manual.split_once("```bash\n").unwrap();
        let (program, _) = program.split_once("```").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("script"), script(Shell::Bash)).unwrap();
        let called = format!("#!/bin/sh\ncat '{}'\n", path("script").display());
        for (name, text) in [
            ("kubectl-leeward", called.as_str()),
            ("kubectl_complete-leeward", program),
        ] {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn kubectl_completes_with_the_program_that_the_manual_shows() {
        let folder = kubectl_completion();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let completed = |words: &[&str]| {
            let program = folder.path().join("kubectl_complete-leeward");
            let command = std::process::Command::new("bash")
                .arg(program)
                .args(words)
                .env("PATH", &path)
                .output();
            String::from_utf8(command.unwrap().stdout).unwrap()
        };
        // The last line tells kubectl not to complete with names of files.
        assert_eq!(completed(&["rep"]), "report\n:4\n");
        assert_eq!(completed(&["report", "--system"]), "--system-context\n:4\n");
        assert_eq!(completed(&["report", "-o", ""]), "table\njson\nyaml\n:4\n");
    }

    #[test]
    fn there_is_a_manual_page_for_each_command_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let first = page("leeward.1");
        for command in commands() {
            let name = command.get_name();
            let listed = format!("leeward\\-{}(1)", name.replace('-', "\\-"));
            assert!(first.contains(&listed), "{name}");
            let page = page(&format!("leeward-{name}.1"));
            for option in options(&command) {
                let entry = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(page.contains(&entry), "{name}: {entry}");
            }
        }
    }

    #[test]
    fn manual_pages_need_a_folder_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = man(&missing).unwrap_err().to_string();
        assert!(error.contains(&missing.display().to_string()), "{error}");
    }
}
