//! The Dockerfile, which nothing here runs, gives the image that is tested here.

use clap::Parser as _;
use serde_json::Value;

use super::archive::pack;
use super::proof;
use super::tests::image;
use crate::generated::read;

/// The text after the last instruction of this kind.
fn instruction<'a>(recipe: &'a str, name: &str) -> Option<&'a str> {
    let argument = |line: &'a str| line.strip_prefix(name)?.strip_prefix(' ');
    recipe.lines().filter_map(argument).next_back()
}

#[test]
fn the_dockerfile_gives_the_image_that_is_built_without_it() {
    let text = read("Dockerfile");
    let (_, last) = text
        .rsplit_once("\nFROM scratch\n")
        .expect("the last stage is empty");
    let of = |name: &str| instruction(last, name).unwrap_or_else(|| panic!("no {name}"));
    let list = |name: &str| -> Value { serde_json::from_str(of(name)).unwrap() };
    let config = proof::read(&pack(&image(b"a binary")).unwrap()).unwrap().config;
    assert_eq!(of("USER"), config["User"]);
    assert_eq!(list("ENTRYPOINT"), config["Entrypoint"]);
    assert_eq!(list("CMD"), config["Cmd"]);
    let set: Vec<&str> = of("ENV").split(' ').collect();
    assert_eq!(Value::from(set), config["Env"]);
    assert_eq!(instruction(last, "WORKDIR").unwrap_or("/"), config["WorkingDir"]);
    let ports: Vec<&str> = instruction(last, "EXPOSE")
        .iter()
        .flat_map(|ports| ports.split(' '))
        .collect();
    let exposed = config["ExposedPorts"].as_object().into_iter().flatten();
    assert_eq!(ports, exposed.map(|(port, _)| port.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_dockerfile_builds_with_the_pinned_toolchain_as_it_is_built_without_it() {
    let toolchain: toml::Table = toml::from_str(&read("rust-toolchain.toml")).unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let text = read("Dockerfile");
    let from = format!("FROM rust:{channel}-slim AS build");
    assert!(text.lines().any(|line| line == from), "{from}");

    // Docker's own options, such as for build caches, come first.
    let words = |command: &'_ str| -> Vec<String> {
        let words = command.split(' ').map(str::to_owned);
        words.skip_while(|word| word.starts_with("--")).collect()
    };
    let of = |command: &str| match crate::Args::try_parse_from(words(command).into_iter().skip(1)) {
        Ok(crate::Args {
            task: crate::Task::Image(args),
        }) => args,
        _ => panic!("{command} builds no image"),
    };
    let built = of(instruction(&text, "RUN").unwrap());
    assert_eq!(built.profile, of("cargo xtask image").profile);
    let files = built.files.unwrap();
    let copied = format!("--from=build {}/ /", files.display());
    assert_eq!(instruction(&text, "COPY"), Some(copied.as_str()));
}
