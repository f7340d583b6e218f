//! Files of other tools beside definitions, recognised by their names or their fields.

use std::sync::LazyLock;

use leeward_core::policy::Globs;
use serde_json::Value;

/// Groups that no other tool has objects of.
const OURS: [&str; 2] = ["leeward.dev/", "jetstream.nats.io/"];

/// Tools, with the names of their files.
const NAMES: &[(&str, &[&str])] = &[
    (
        "Helm",
        &[
            "chart.yaml",
            "chart.yml",
            "values.yaml",
            "values.yml",
            "values-*.y*ml",
            "values.*.y*ml",
            "values_*.y*ml",
            "*-values.y*ml",
            "*.values.y*ml",
            "*_values.y*ml",
            "requirements.yaml",
            "helmfile.y*ml",
            "helmfile.*.y*ml",
            "values.schema.json",
            "ct.yaml",
        ],
    ),
    (
        "JavaScript",
        &[
            "package.json",
            "package-lock.json",
            "npm-shrinkwrap.json",
            "pnpm-lock.yaml",
            "pnpm-workspace.yaml",
            "tsconfig*.json",
            "jsconfig*.json",
            "deno.json",
            "nx.json",
            "turbo.json",
            "lerna.json",
            "angular.json",
            "vercel.json",
            "firebase.json",
        ],
    ),
    ("PHP", &["composer.json"]),
    ("Dart", &["pubspec.y*ml"]),
    ("Conda", &["environment.y*ml"]),
    (
        "Docker Compose",
        &["docker-compose*.y*ml", "compose.y*ml", "compose.*.y*ml"],
    ),
    ("Skaffold", &["skaffold.y*ml"]),
    ("Task", &["taskfile.y*ml"]),
    ("MkDocs", &["mkdocs.y*ml"]),
    ("Jekyll", &["_config.y*ml"]),
    ("Buf", &["buf.y*ml", "buf.*.y*ml"]),
    (
        "OpenAPI",
        &["openapi*.y*ml", "openapi*.json", "swagger*.y*ml", "swagger*.json"],
    ),
    ("AsyncAPI", &["asyncapi*.y*ml", "asyncapi*.json"]),
    (
        "a pipeline",
        &[
            "azure-pipelines*.y*ml",
            "bitbucket-pipelines.y*ml",
            "cloudbuild.y*ml",
            "buildspec.y*ml",
            "appveyor.y*ml",
            "action.y*ml",
            "dependabot.y*ml",
            "codecov.y*ml",
        ],
    ),
    ("Pulumi", &["pulumi.y*ml", "pulumi.*.y*ml"]),
    ("Serverless", &["serverless.y*ml"]),
    ("AWS CDK", &["cdk.json", "cdk.context.json"]),
    ("Terraform", &["*.tf.json", "*.tfvars.json"]),
    ("Renovate", &["renovate.json", "renovate.json5"]),
    ("CSpell", &["cspell.json", "cspell.y*ml"]),
    ("a container for development", &["devcontainer.json"]),
    ("Backstage", &["catalog-info.y*ml"]),
    ("JSON Schema", &["*.schema.json", "*.schema.y*ml"]),
    ("SOPS", &["*.sops.y*ml", "*.enc.y*ml", "*.sops.json"]),
];

/// Tools, with the fields of their files.
const FIELDS: &[(&str, &[&str])] = &[
    ("Grafana", &["panels"]),
    ("Grafana", &["dashboard"]),
    ("JSON Schema", &["$schema"]),
    ("OpenAPI", &["openapi"]),
    ("OpenAPI", &["swagger"]),
    ("AsyncAPI", &["asyncapi"]),
    ("a pipeline", &["jobs", "on"]),
    ("a pipeline", &["jobs", "true"]),
    ("a pipeline", &["stages"]),
    ("Docker Compose", &["services"]),
    ("CloudFormation", &["AWSTemplateFormatVersion"]),
    ("CloudFormation", &["Resources"]),
    ("Prometheus", &["groups"]),
    ("Prometheus", &["scrape_configs"]),
    ("Alertmanager", &["route", "receivers"]),
    ("Ansible", &["hosts", "tasks"]),
    ("Terraform", &["terraform_version"]),
    ("nats", &["url", "creds"]),
    ("nats", &["url", "nkey"]),
    ("nats", &["url", "user"]),
    ("nats", &["url", "token"]),
];

static GLOBS: LazyLock<Vec<(&str, Globs)>> = LazyLock::new(|| {
    let compile = |(tool, globs): &(&'static str, &[&str])| (*tool, Globs::new(globs, &[]));
    NAMES.iter().map(compile).collect()
});

/// The tool that a file usually belongs to, by its name.
pub fn tool(file: &str) -> Option<&'static str> {
    let name = file.rsplit('/').next().unwrap_or(file).to_lowercase();
    let (tool, _) = GLOBS.iter().find(|(_, globs)| globs.selects(&name))?;
    Some(*tool)
}

/// Whether a text names a group of objects that mean something here.
pub fn has_ours(text: &str) -> bool {
    OURS.iter().any(|ours| text.contains(ours))
}

/// The tool that a document belongs to, by its fields.
pub fn tool_of(value: &Value) -> Option<&'static str> {
    let value = match value {
        Value::Array(items) => items.first()?,
        other => other,
    };
    let has_all = |fields: &&[&str]| fields.iter().all(|field| value.get(field).is_some());
    let (tool, _) = FIELDS.iter().find(|(_, fields)| has_all(fields))?;
    Some(tool)
}

/// A language that is not read, and what makes YAML or JSON of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Language {
    /// Its name.
    pub name: &'static str,
    endings: &'static [&'static str],
    /// With `FILE` for the file.
    hint: &'static str,
}

const RENDER: &str = "render it first, and give what comes of it to -f -";

const LANGUAGES: &[Language] = &[
    Language {
        name: "Terraform",
        endings: &["tf", "tfvars", "hcl", "tofu"],
        hint: "check what it makes in the live system, or as `nats stream info NAME --json` prints it",
    },
    Language {
        name: "Jsonnet",
        endings: &["jsonnet", "libsonnet"],
        hint: "jsonnet FILE | leeward check -f -",
    },
    Language {
        name: "CUE",
        endings: &["cue"],
        hint: "cue export --out yaml FILE | leeward check -f -",
    },
    Language {
        name: "Pkl",
        endings: &["pkl"],
        hint: "pkl eval -f yaml FILE | leeward check -f -",
    },
    Language {
        name: "Dhall",
        endings: &["dhall"],
        hint: "dhall-to-yaml --documents --file FILE | leeward check -f -",
    },
    Language {
        name: "KCL",
        endings: &["k"],
        hint: "kcl run FILE | leeward check -f -",
    },
    Language {
        name: "Helm",
        endings: &["tpl", "tgz"],
        hint: "helm template … | leeward check -f -",
    },
    Language {
        name: "a template",
        endings: &[
            "gotmpl", "gotpl", "gtpl", "tmpl", "template", "j2", "jinja", "jinja2", "erb", "ytt", "hbs",
            "mustache",
        ],
        hint: RENDER,
    },
    Language {
        name: "TOML",
        endings: &["toml"],
        hint: "write it as YAML or JSON",
    },
];

/// The language of a file, by the end of its name.
pub fn language(file: &str) -> Option<&'static Language> {
    let (_, ending) = file.rsplit_once('.')?;
    let ending = ending.to_lowercase();
    LANGUAGES
        .iter()
        .find(|language| language.endings.contains(&&*ending))
}

impl Language {
    /// That a file of it is not read, and what to do.
    pub fn refusal(&self, file: &str) -> String {
        format!("files of {} are not read: {}", self.name, self.hint(file))
    }

    /// What to do with a file of it.
    pub fn hint(&self, file: &str) -> String {
        self.hint.replace("FILE", file)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_other_tools_are_known_by_name() {
        for (file, known) in [
            ("a/Chart.yaml", Some("Helm")),
            ("values-prod.yaml", Some("Helm")),
            ("x/Values.yml", Some("Helm")),
            ("tsconfig.base.json", Some("JavaScript")),
            ("docker-compose.override.yml", Some("Docker Compose")),
            ("main.tf.json", Some("Terraform")),
            ("orders.yaml", None),
            ("values", None),
        ] {
            assert_eq!(tool(file), known, "{file}");
        }
    }

    #[test]
    fn files_of_other_tools_are_known_by_their_fields() {
        assert_eq!(tool_of(&json!({"panels": [], "title": "x"})), Some("Grafana"));
        assert_eq!(tool_of(&json!([{"hosts": "all", "tasks": []}])), Some("Ansible"));
        assert_eq!(tool_of(&json!({"name": "x", "subjects": []})), None);
        assert_eq!(tool_of(&json!([])), None);
    }

    #[test]
    fn languages_are_refused_with_what_makes_yaml_of_them() {
        let refusal = |file: &str| language(file).map(|language| language.refusal(file));
        assert!(
            refusal("main.tf")
                .unwrap()
                .starts_with("files of Terraform are not read")
        );
        assert!(
            refusal("a.cue")
                .unwrap()
                .contains("cue export --out yaml a.cue | ")
        );
        assert_eq!(refusal("a.yaml"), None);
    }
}
