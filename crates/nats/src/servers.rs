//! The servers that may be connected to, and whether connections to them need TLS.

use async_nats::ServerAddr;

use crate::connect_config::ConnectConfig;
use crate::state::ConnectError;

/// Servers that an error names at most.
const MOST_PLACES: usize = 3;

/// The only servers that are connected to. If one connection is to have TLS all of them do, which a plain `ws` URL
/// cannot: async-nats relies on its scheme alone.
pub(crate) fn addresses(config: &ConnectConfig) -> Result<Vec<ServerAddr>, ConnectError> {
    let urls = &config.servers;
    if urls.is_empty() {
        return Err(ConnectError::NoServers);
    }
    let parse = |url: &String| {
        url.parse::<ServerAddr>().map_err(|error| ConnectError::Url {
            url: url.clone(),
            message: error.to_string(),
        })
    };
    let servers: Vec<ServerAddr> = urls.iter().map(parse).collect::<Result<_, _>>()?;
    let plain = urls
        .iter()
        .zip(&servers)
        .find(|(_, server)| server.scheme() == "ws");
    match plain {
        Some((url, _)) if needs_tls(config, &servers) => {
            Err(ConnectError::PlainWebSocket { url: url.clone() })
        }
        Some(_) | None => Ok(servers),
    }
}

/// The same configuration for each of its servers alone: with TLS where one of all has it.
pub(crate) fn one_by_one(config: &ConnectConfig) -> Vec<ConnectConfig> {
    let Ok(servers) = addresses(config) else {
        // Its connection says what is wrong.
        return vec![config.clone()];
    };
    let tls = needs_tls(config, &servers).then(|| config.tls.clone().unwrap_or_default());
    let only = |url: &String| ConnectConfig {
        servers: vec![url.clone()],
        tls: tls.clone(),
        ..config.clone()
    };
    config.servers.iter().map(only).collect()
}

/// Whether nothing may be sent without TLS, whatever a server announces before it.
pub(crate) fn needs_tls(config: &ConnectConfig, servers: &[ServerAddr]) -> bool {
    let secure = |server: &ServerAddr| matches!(server.scheme(), "tls" | "wss");
    config.tls.is_some() || servers.iter().any(secure)
}

/// The servers' addresses, for display.
pub(crate) fn places(servers: &[ServerAddr]) -> String {
    let place = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
    let shown: Vec<String> = servers.iter().take(MOST_PLACES).map(place).collect();
    match servers.len() {
        1 => shown.concat(),
        number if number > MOST_PLACES => format!("one of {} and others", shown.join(", ")),
        _ => format!("one of {}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsConfig;

    fn config(servers: &[&str], tls: Option<TlsConfig>) -> ConnectConfig {
        ConnectConfig {
            servers: servers.iter().map(|url| (*url).to_owned()).collect(),
            tls,
            ..ConnectConfig::default()
        }
    }

    #[test]
    fn tls_that_one_url_or_a_block_asks_for_is_for_all() {
        let needs = |urls: &[&str], tls: Option<TlsConfig>| {
            let config = config(urls, tls);
            needs_tls(&config, &addresses(&config).unwrap())
        };
        assert!(!needs(&["nats://a", "ws://b"], None));
        assert!(needs(&["nats://a", "tls://b"], None));
        assert!(needs(&["nats://a", "wss://b"], None));
        assert!(needs(&["nats://a"], Some(TlsConfig::default())));
    }

    #[test]
    fn each_server_alone_has_tls_where_one_of_all_has_it() {
        let each = |urls: &[&str], tls: Option<TlsConfig>| {
            let alone = one_by_one(&config(urls, tls));
            let secure = |one: &ConnectConfig| needs_tls(one, &addresses(one).unwrap());
            let servers = alone.iter().map(|one| (one.servers.concat(), secure(one)));
            servers.collect::<Vec<_>>()
        };
        let both = |secure| vec![("nats://a".to_owned(), secure), ("tls://b".to_owned(), secure)];
        assert_eq!(each(&["nats://a", "tls://b"], None), both(true));
        let plain = [("nats://a".to_owned(), false), ("ws://b".to_owned(), false)];
        assert_eq!(each(&["nats://a", "ws://b"], None), plain);
        let one = [("nats://a".to_owned(), true)];
        assert_eq!(each(&["nats://a"], Some(TlsConfig::default())), one);
        assert_eq!(one_by_one(&config(&[], None)).len(), 1);
    }

    #[test]
    fn a_web_socket_without_tls_is_refused_where_tls_is_asked_for() {
        for config in [
            config(&["ws://a"], Some(TlsConfig::default())),
            config(&["ws://user:secret@a", "tls://b"], None),
            config(&["wss://b", "WS://a"], None),
        ] {
            let refused = addresses(&config).unwrap_err().to_string();
            assert!(
                refused.contains("wss://") && !refused.contains("secret"),
                "{refused}"
            );
        }
        assert_eq!(
            addresses(&config(&["ws://a", "nats://b"], None)).unwrap().len(),
            2
        );
    }

    #[test]
    fn places_are_named_without_users_and_not_all_of_many() {
        let told = |urls: &[&str]| places(&addresses(&config(urls, None)).unwrap());
        assert_eq!(told(&["nats://u:p@a"]), "a:4222");
        assert_eq!(told(&["nats://a", "tls://[::1]:1"]), "one of a:4222, ::1:1");
        assert_eq!(
            told(&["nats://a", "nats://b", "nats://c", "nats://d"]),
            "one of a:4222, b:4222, c:4222 and others"
        );
    }
}
