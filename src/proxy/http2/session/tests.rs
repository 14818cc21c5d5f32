use pingora_core::protocols::http::custom::server::Session as _;

use crate::config::model::Limits;

use super::*;

/// A session over a connection in memory, its client having sent the head of a request and
/// two bytes of its body.
async fn begun(between: impl AsyncFnOnce(Session)) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let client = async {
        let (mut client, connection) = h2::client::handshake(client).await.unwrap();
        let request = http::Request::post("http://a/").body(()).unwrap();
        let (_answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"ab"), false).unwrap();
        let _ = connection.await;
    };
    let server = async {
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        let (parts, body) = request.into_parts();
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let ending = Ending::new(stopped);
        let paces = Paces::of(&Limits::default());
        let head = parts.into();
        let session = Session::new(head, body, respond, Arc::default(), ending, paces);
        tokio::select! {
            () = between(session) => {}
            _ = connection.accept() => panic!("the connection has ended"),
        }
    };
    tokio::select! {
        () = client => panic!("the client has left"),
        () = server => {}
    }
}

#[tokio::test]
async fn a_body_may_be_silent_for_a_bounded_time() {
    begun(async |mut session: Session| {
        assert_eq!(session.get_read_timeout(), Some(Duration::from_secs(60)));
        session.set_read_timeout(Some(Duration::from_millis(30)));
        let piece = session.read_body_bytes().await.unwrap();
        assert_eq!(piece.as_deref(), Some(&b"ab"[..]));
        let late = session.read_body_bytes().await.unwrap_err();
        assert_eq!(*late.etype(), ErrorType::ReadTimedout);
        let late = session.read_body_or_idle(false).await.unwrap_err();
        assert_eq!(*late.etype(), ErrorType::ReadTimedout);
    })
    .await;
}

/// What comes of a response of so many bytes to a client that takes this many each second.
async fn respond_to(each: u32, bytes: usize) -> Result<()> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let client = async {
        let mut builder = h2::client::Builder::new();
        let handshake = builder
            .initial_window_size(each)
            .handshake::<_, Bytes>(client);
        let (mut client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://a/").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        while let Some(Ok(data)) = body.data().await {
            tokio::time::sleep(Duration::from_secs(1)).await; // the client's pace, where time is paused
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        std::future::pending().await
    };
    let server = async {
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        let (parts, body) = request.into_parts();
        let ending = Ending::new(tokio::sync::watch::channel(false).1);
        let paces = Paces::of(&Limits::default());
        let mut session = Session::new(parts.into(), body, respond, Arc::default(), ending, paces);
        let head = Box::new(ResponseHeader::build(200, None).unwrap());
        session.write_head(head, false).unwrap();
        tokio::select! {
            written = session.write(vec![0; bytes].into(), true) => written,
            _ = connection.accept() => panic!("the connection has ended"),
        }
    };
    tokio::select! {
        () = client => unreachable!(),
        written = server => written,
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_may_be_taken_slowly_but_not_too_slowly() {
    respond_to(1000, 1_000_000).await.unwrap();
    let begun = Instant::now();
    let slow = respond_to(100, 1_000_000).await.unwrap_err();
    assert_eq!(*slow.etype(), ErrorType::WriteTimedout);
    assert!(
        slow.to_string().contains("`limits.response_rate`"),
        "{slow}"
    );
    // A second for each 100 bytes, which should take a fifth of one: 60 seconds are used up.
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(60)..Duration::from_secs(90)).contains(&took),
        "{took:?}"
    );
}
