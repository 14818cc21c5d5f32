//! Defaults of listeners.

use wiregate::config::model::listener::{
    Alpn, ClientCertificates, Listener, ProxyProtocol, Tls, TlsVersion, TrustedFields,
};

use super::{Defaults, decoded, optional};

pub fn add(all: &mut Defaults) {
    let text = "bind: \"127.0.0.1:80\"\nproxy_protocol: { from: 10.0.0.0/8 }\ntls:\n  \
                certificates: { certificate: a, key: b }\n  client_certificates: { ca: c }\n";
    let Listener {
        bind: _,
        trusted_proxies: _,
        trusted_fields,
        proxy_protocol,
        max_connections,
        max_connections_per_client,
        tls,
    } = decoded(text);
    assert_eq!(trusted_fields, None);
    let TrustedFields::XForwarded = TrustedFields::default() else {
        panic!("another default than the table's");
    };
    all.add("trusted_fields", &"x_forwarded");
    all.add("max_connections", &max_connections);
    let per_client = optional(max_connections_per_client.map(|most| most.value));
    all.add("max_connections_per_client", &per_client);
    let ProxyProtocol { from: _, timeout } = proxy_protocol.unwrap();
    add!(all, "proxy_protocol": timeout);
    let Tls {
        certificates: _,
        client_certificates,
        versions,
        alpn,
        handshake_timeout,
    } = tls.unwrap();
    let versions = versions.iter().map(|version| match version {
        TlsVersion::V12 => "1.2",
        TlsVersion::V13 => "1.3",
    });
    let alpn = alpn.iter().map(|alpn| match alpn {
        Alpn::H2 => "h2",
        Alpn::Http1 => "http/1.1",
    });
    let (versions, alpn) = (list(versions), list(alpn));
    add!(all, "tls": versions, alpn, handshake_timeout);
    let ClientCertificates { ca: _, required } = client_certificates.unwrap();
    add!(all, "client_certificates": required);
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
