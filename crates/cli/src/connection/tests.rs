mod inbox;

use std::path::Path;

use leeward_nats::Credentials;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;

const SEED: &str = "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM";

/// A home folder with contexts.
struct Home {
    folder: TempDir,
    environment: Environment,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".config/nats/context")).unwrap();
        let environment = Environment {
            home: Some(folder.path().to_owned()),
            ..Environment::default()
        };
        Self { folder, environment }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path().join(path), text).unwrap();
    }

    fn context(&self, name: &str, text: &str) {
        self.write(&format!(".config/nats/context/{name}.json"), text);
    }

    fn select(&self, name: &str) {
        self.write(".config/nats/context.txt", name);
    }

    fn resolve(&self, args: &ConnectionArgs) -> anyhow::Result<ConnectionOptions> {
        resolve_in(args, &self.environment)
    }

    fn account(&self, args: &ConnectionArgs) -> AccountConnection {
        self.resolve(args).unwrap().account.unwrap()
    }

    /// The error of a context with this text.
    fn error(&self, text: &str) -> String {
        self.context("it", text);
        format!("{:#}", self.resolve(&of_context("it")).unwrap_err())
    }
}

fn of_context(name: &str) -> ConnectionArgs {
    ConnectionArgs {
        context: Some(name.into()),
        ..ConnectionArgs::default()
    }
}

fn creds() -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\neyJ0eXAi.eyJqdGki.c2ln\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
    )
}

fn words(credentials: Option<&Credentials>) -> String {
    match credentials {
        None => "none".into(),
        Some(Credentials::UserPassword { username, password }) => {
            format!("user {username} {}", password.expose_secret())
        }
        Some(Credentials::Token(token)) => format!("token {}", token.expose_secret()),
        Some(Credentials::Nkey(seed)) => format!("nkey {}", seed.expose_secret()),
        Some(Credentials::CredsFile(text)) => format!("creds {}", text.expose_secret().contains(SEED)),
        Some(Credentials::TlsClientCertificate { .. }) => "certificate".into(),
        Some(Credentials::WithCertificate { .. }) => "certificate and another".into(),
    }
}

fn who(account: &AccountConnection) -> String {
    words(account.config.credentials.as_ref())
}

#[test]
fn without_anything_it_is_the_server_on_this_machine_as_nobody() {
    let account = Home::new().account(&ConnectionArgs::default());
    assert_eq!(account.config.servers, [DEFAULT_SERVER]);
    assert_eq!((who(&account).as_str(), account.domain), ("none", None));
    let nowhere = resolve_in(&ConnectionArgs::default(), &Environment::default()).unwrap();
    assert_eq!(nowhere.account.unwrap().config.servers, [DEFAULT_SERVER]);
}

#[test]
fn flags_win_over_the_selected_context_field_by_field() {
    let home = Home::new();
    home.context(
        "shop",
        r#"{"url": "nats://a:1, b:2", "user": "u", "password": "p"}"#,
    );
    home.select("shop\n");
    let plain = home.account(&ConnectionArgs::default());
    assert_eq!(plain.config.servers, ["nats://a:1", "nats://b:2"]);
    assert_eq!(who(&plain), "user u p");
    let elsewhere = home.account(&ConnectionArgs {
        server: Some("nats://other:4222".into()),
        ..ConnectionArgs::default()
    });
    assert_eq!(elsewhere.config.servers, ["nats://other:4222"]);
    assert_eq!(who(&elsewhere), "user u p", "as the nats command does");
    let domain = home.account(&ConnectionArgs {
        js_domain: Some("hub".into()),
        ..ConnectionArgs::default()
    });
    assert_eq!(
        (who(&domain).as_str(), domain.domain.as_deref()),
        ("user u p", Some("hub"))
    );
}

#[test]
fn flags_win_over_a_context_and_replace_its_credentials_as_a_whole() {
    let home = Home::new();
    home.context(
        "shop",
        r#"{"url": "nats://a:1", "user": "u", "password": "p", "inbox_prefix": "_I"}"#,
    );
    let mut args = of_context("shop");
    args.token = Some("t".into());
    args.server = Some("nats://b:2".into());
    let account = home.account(&args);
    assert_eq!(who(&account), "token t");
    assert_eq!(account.config.servers, ["nats://b:2"]);
    assert_eq!(account.config.inbox_prefix.as_deref(), Some("_I"));
    let mut args = of_context("shop");
    args.password = Some("other".into());
    assert_eq!(who(&home.account(&args)), "user u other");
}

#[test]
fn a_user_without_a_password_is_a_token_only_on_the_command_line() {
    let home = Home::new();
    let args = ConnectionArgs {
        user: Some("t".into()),
        ..ConnectionArgs::default()
    };
    assert_eq!(who(&home.account(&args)), "token t");
    home.context("user", r#"{"user": "u"}"#);
    assert_eq!(who(&home.account(&of_context("user"))), "user u ");
    home.context("both", r#"{"user": "u", "password": "p"}"#);
    let args = ConnectionArgs {
        user: Some("other".into()),
        ..of_context("both")
    };
    assert_eq!(who(&home.account(&args)), "user other p");
}

fn at(urls: &str) -> ConnectionArgs {
    ConnectionArgs {
        server: Some(urls.into()),
        ..ConnectionArgs::default()
    }
}

#[test]
fn a_user_in_urls_counts_where_nothing_else_says_who() {
    let home = Home::new();
    let account = home.account(&at("nats://u:p%40x@a:1, u:p%40x@b:2, c"));
    assert_eq!(who(&account), "user u p@x");
    assert_eq!(account.config.servers, ["nats://a:1", "nats://b:2", "nats://c"]);
    assert_eq!(who(&home.account(&at("t0ken@a"))), "token t0ken");
    let typed = ConnectionArgs {
        token: Some("t".into()),
        ..at("u:p@a")
    };
    assert_eq!(who(&home.account(&typed)), "token t");
    home.context("shop", r#"{"url": "nats://s:q@a:1"}"#);
    assert_eq!(who(&home.account(&of_context("shop"))), "user s q");
    let mut args = at("u:p@a");
    args.system_context = Some("shop".into());
    let system = home.resolve(&args).unwrap().system.unwrap();
    assert_eq!(words(system.credentials.as_ref()), "user s q");
    assert_eq!(system.servers, ["nats://a:1"]);
}

#[test]
fn users_in_urls_that_differ_or_cannot_be_read_are_refused_and_not_named() {
    let home = Home::new();
    let error = |urls: &str| format!("{:#}", home.resolve(&at(urls)).unwrap_err());
    for (urls, words) in [
        ("u:hidden@a,u:other@b", "different users"),
        ("u:hidden%4@a", "write it as %25"),
    ] {
        let error = error(urls);
        assert!(error.contains("NATS_URL") && error.contains(words), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn several_kinds_of_credentials_are_named_with_their_variables() {
    let args = ConnectionArgs {
        creds: Some("x".into()),
        user: Some("u".into()),
        password: Some("p".into()),
        ..ConnectionArgs::default()
    };
    let error = format!("{:#}", Home::new().resolve(&args).unwrap_err());
    assert!(
        error.contains("--user (NATS_USER), --creds (NATS_CREDS)"),
        "{error}"
    );
}

#[test]
fn each_kind_of_credentials_is_read_from_files_variables_and_inline_data() {
    let mut home = Home::new();
    home.write("my.creds", &creds());
    home.write("my.nk", &format!("-----BEGIN USER NKEY SEED-----\n{SEED}\n---\n"));
    home.environment
        .variables
        .insert("WHERE".into(), home.path().display().to_string());
    home.environment.variables.insert("SEED".into(), SEED.into());
    let encoded = serde_json::to_value(k8s_openapi::ByteString(creds().into_bytes())).unwrap();
    let inline = format!(r#"{{"creds": "data:;base64,{}"}}"#, encoded.as_str().unwrap());
    let nkey = format!("nkey {SEED}");
    let table = [
        (r#"{"creds": "~/my.creds"}"#, "creds true"),
        (r#"{"creds": "$WHERE/my.creds"}"#, "creds true"),
        (r#"{"creds": "file://${WHERE}/my.creds"}"#, "creds true"),
        (inline.as_str(), "creds true"),
        (r#"{"nkey": "~/my.nk"}"#, nkey.as_str()),
        (r#"{"nkey": "env://SEED"}"#, nkey.as_str()),
        (r#"{"token": "a://$b"}"#, "token a://$b"),
        (
            r#"{"user": "u", "password": "env://SEED"}"#,
            &format!("user u {SEED}"),
        ),
        (
            r#"{"user_jwt": "eyJ0eXAi.eyJqdGki.c2ln", "user_seed": "env://SEED"}"#,
            "creds true",
        ),
        (r#"{"user": null, "tls_first": null, "surprise": [1]}"#, "none"),
    ];
    for (text, expected) in table {
        home.context("it", text);
        assert_eq!(who(&home.account(&of_context("it"))), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_the_file_the_field_and_the_cure() {
    let home = Home::new();
    let file = home
        .path()
        .join(".config/nats/context/it.json")
        .display()
        .to_string();
    let table = [
        (r#"{"nsc": "nsc://a/b"}"#, "nsc", "generate a credentials file"),
        (r#"{"creds": "nsc://a/b/c"}"#, "creds", "write it to a file"),
        (r#"{"token": "op://a/b"}"#, "token", "write it to a file"),
        (r#"{"socks_proxy": "socks5://x"}"#, "socks_proxy", "remove it"),
        (
            r#"{"windows_cert_store": "user"}"#,
            "windows_cert_store",
            "set cert, key and ca",
        ),
        (
            r#"{"jetstream_api_prefix": "imported.API"}"#,
            "jetstream_api_prefix",
            "as a user of the account",
        ),
        (r#"{"user": "u", "creds": "x"}"#, "creds", "keep one"),
        (r#"{"password": "hidden"}"#, "password", "give the user too"),
        (r#"{"user_jwt": "x"}"#, "user_jwt", "give user_seed too"),
        (r#"{"cert": "x"}"#, "cert", "give the certificate's key too"),
        (r#"{"ca": "env://CA"}"#, "ca", "give its path"),
        (
            r#"{"creds": "$NOWHERE/x"}"#,
            "creds",
            "the variable NOWHERE is not set",
        ),
        (r#"{"creds": "~/missing"}"#, "creds", "cannot be read"),
    ];
    for (text, field, hint) in table {
        let error = home.error(text);
        for part in [&format!("field {field} of {file}"), hint] {
            assert!(error.contains(part), "{text}: {part}: {error}");
        }
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn credentials_in_place_of_a_path_are_never_shown() {
    let home = Home::new();
    let creds = creds();
    let encoded = serde_json::to_value(k8s_openapi::ByteString(creds.clone().into_bytes())).unwrap();
    let encoded = encoded.as_str().unwrap().to_owned();
    let contents = [creds.clone(), creds.replace('\n', " "), encoded, SEED.to_owned()];
    for content in &contents {
        let args = ConnectionArgs {
            creds: Some(content.into()),
            ..ConnectionArgs::default()
        };
        let flag = format!("{:#}", home.resolve(&args).unwrap_err());
        let field = home.error(&serde_json::json!({"nkey": content}).to_string());
        for error in [flag, field] {
            assert!(error.contains("holds credentials, not a path"), "{error}");
            assert!(!error.contains(SEED) && !error.contains(content), "{error}");
        }
    }
}

#[test]
fn errors_of_json_say_where_and_quote_no_secret() {
    let home = Home::new();
    let error = home.error("{\n  \"password\": 123456\n}");
    assert!(error.contains("it.json:2:"), "{error}");
    assert!(!error.contains("123456"), "{error}");
    let error = home.error("{\"url\": ");
    assert!(
        error.contains("it.json:1:") && error.contains("not valid JSON"),
        "{error}"
    );
}

#[test]
fn a_context_that_does_not_exist_is_told_with_those_that_do() {
    let home = Home::new();
    let missing = || format!("{:#}", home.resolve(&of_context("missing")).unwrap_err());
    assert!(missing().contains("nats context save"), "{}", missing());
    home.context("b", "{}");
    home.context("a", "{}");
    assert!(missing().ends_with("there are a, b"), "{}", missing());
    home.select("gone");
    let error = format!("{:#}", home.resolve(&ConnectionArgs::default()).unwrap_err());
    assert!(error.contains("context.txt") && error.contains("gone"), "{error}");
    let error = format!("{:#}", home.resolve(&of_context("../a")).unwrap_err());
    assert!(error.contains("cannot be the name"), "{error}");
}

#[test]
fn a_prefix_of_a_domain_is_that_domain() {
    let home = Home::new();
    let domain = |text: &str| {
        home.context("it", text);
        home.account(&of_context("it")).domain
    };
    assert_eq!(
        domain(r#"{"jetstream_api_prefix": "$JS.hub.API"}"#).as_deref(),
        Some("hub")
    );
    assert_eq!(domain(r#"{"jetstream_api_prefix": "$JS.API"}"#), None);
    assert_eq!(domain(r#"{"jetstream_domain": "leaf"}"#).as_deref(), Some("leaf"));
    let both = r#"{"jetstream_domain": "leaf", "jetstream_api_prefix": "$JS.hub.API"}"#;
    assert!(home.error(both).contains("different domains"));
}

#[test]
fn the_system_context_inherits_servers_and_tls_and_never_credentials() {
    let home = Home::new();
    home.write("ca.pem", "authority");
    home.context(
        "shop",
        r#"{"url": "tls://a:1", "user": "u", "password": "p", "ca": "~/ca.pem"}"#,
    );
    home.context("sys", r#"{"user": "s", "password": "q"}"#);
    home.context("far", r#"{"url": "nats://far:1", "user": "s", "password": "q"}"#);
    let system = |name: &str| {
        let mut args = of_context("shop");
        args.system_context = Some(name.into());
        home.resolve(&args).unwrap().system.unwrap()
    };
    let near = system("sys");
    assert_eq!(near.servers, ["tls://a:1"]);
    assert_eq!(near.tls.unwrap().ca_pem.as_deref(), Some("authority"));
    assert_eq!(words(near.credentials.as_ref()), "user s q");
    let far = system("far");
    assert_eq!(far.servers, ["nats://far:1"]);
    assert!(far.tls.is_none(), "TLS goes with the servers");
    assert!(home.resolve(&of_context("shop")).unwrap().system.is_none());
}

#[test]
fn typed_authorities_are_trusted_as_a_system_user_too() {
    let home = Home::new();
    home.write("typed.pem", "typed");
    home.context("sys", r#"{"url": "tls://a:1", "user": "s", "password": "q"}"#);
    let args = ConnectionArgs {
        tlsca: Some(home.path().join("typed.pem")),
        system_context: Some("sys".into()),
        ..at("tls://a:1")
    };
    let system = home.resolve(&args).unwrap().system.unwrap();
    assert_eq!(system.tls.unwrap().ca_pem.as_deref(), Some("typed"));
}

#[test]
fn arguments_add_to_what_a_policy_refers_to() {
    let home = Home::new();
    home.write("typed.pem", "typed");
    home.context("sys", r#"{"user": "s", "password": "q"}"#);
    let config = ConnectConfig {
        servers: vec!["tls://a:1".into()],
        ..ConnectConfig::default()
    };
    let references = || ConnectionOptions {
        account: Some(AccountConnection {
            config: config.clone(),
            domain: Some("hub".into()),
        }),
        system: Some(config.clone()),
    };
    let over = |args: &ConnectionArgs| over_references_in(args, references(), &home.environment).unwrap();
    let unchanged = over(&ConnectionArgs::default());
    let account = unchanged.account.unwrap();
    assert_eq!(account.domain.as_deref(), Some("hub"));
    assert!(account.config.tls.is_none() && unchanged.system.unwrap().tls.is_none());
    let mut args = ConnectionArgs {
        js_domain: Some("leaf".into()),
        inbox_prefix: Some("_I".into()),
        tlsca: Some(home.path().join("typed.pem")),
        tlsfirst: true,
        ..ConnectionArgs::default()
    };
    for context in [None, Some("sys".to_owned())] {
        args.system_context = context;
        let connections = over(&args);
        let account = connections.account.unwrap();
        assert_eq!(account.domain.as_deref(), Some("leaf"));
        assert_eq!(account.config.inbox_prefix.as_deref(), Some("_I"));
        for config in [account.config, connections.system.unwrap()] {
            let tls = config.tls.unwrap();
            assert_eq!(
                (tls.ca_pem.as_deref(), tls.handshake_first),
                (Some("typed"), true)
            );
        }
    }
}

#[test]
fn contexts_are_where_the_nats_command_keeps_them() {
    let mut home = Home::new();
    let elsewhere = home.path().join("elsewhere");
    std::fs::create_dir_all(elsewhere.join("nats/context")).unwrap();
    home.write("elsewhere/nats/context/x.json", r#"{"url": "nats://x:1"}"#);
    home.environment.config = Some(elsewhere.clone());
    assert_eq!(home.account(&of_context("x")).config.servers, ["nats://x:1"]);
    let path = elsewhere.join("nats/context/x.json").display().to_string();
    assert_eq!(home.account(&of_context(&path)).config.servers, ["nats://x:1"]);
}

#[test]
fn only_what_says_where_or_who_is_explicit() {
    assert!(!is_explicit(&ConnectionArgs {
        system_context: Some("sys".into()),
        js_domain: Some("hub".into()),
        tlsfirst: true,
        ..ConnectionArgs::default()
    }));
    assert!(is_explicit(&of_context("x")));
    assert!(is_explicit(&ConnectionArgs {
        creds: Some("x".into()),
        ..ConnectionArgs::default()
    }));
}
