//! Purges: over the admin API, and by `wiregate cache purge`.

use super::super::harness::{until, wiregate};
use super::*;

fn purge(gateway: &Gateway, query: &str) -> u64 {
    let answer = gateway.admin("POST", &format!("/caches/purge?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["purged"].as_u64().unwrap()
}

const PATHS: [&str; 4] = ["/img/a", "/img/b", "/css/a", "/css/a?v=1"];

/// A gateway that has stored all paths, with tags.
fn stored(origin: &Origin) -> Gateway {
    for path in PATHS {
        let tags = format!(
            "cache-control: max-age=60, stale-while-revalidate=60 | cache-tag: all-{}, x",
            path.len()
        );
        origin.says(path, &tags);
    }
    let gateway = origin.cached("{ tags: cache-tag }");
    for path in PATHS {
        get(&gateway, path, &[]);
    }
    gateway
}

/// Which paths are still answered.
fn left(gateway: &Gateway) -> Vec<&'static str> {
    let is_there = |path: &&&str| {
        let answer = get(gateway, path, &["cache-control: only-if-cached"]);
        answer.status == 200
    };
    PATHS.iter().filter(is_there).copied().collect()
}

#[test]
fn by_url_by_prefix_by_tag_and_all() {
    let origin = Origin::start();
    let gateway = stored(&origin);
    assert_eq!(left(&gateway), PATHS);
    let url = |path: &str| gateway.url(path).replace(':', "%3A").replace('?', "%3F");
    assert_eq!(purge(&gateway, &format!("url={}", url("/css/a"))), 1);
    assert_eq!(left(&gateway), ["/img/a", "/img/b", "/css/a?v=1"]);
    assert_eq!(purge(&gateway, &format!("prefix={}", url("/img/"))), 2);
    assert_eq!(left(&gateway), ["/css/a?v=1"]);
    assert_eq!(purge(&gateway, "tag=none"), 0);
    assert_eq!(purge(&gateway, "tag=all-10"), 1);
    assert!(left(&gateway).is_empty());
    for path in PATHS {
        get(&gateway, path, &[]);
    }
    assert_eq!(purge(&gateway, "all"), 4);
    assert!(left(&gateway).is_empty());
    let answer = get(&gateway, "/img/a", &[]);
    assert_eq!(answer.header("cache-tag"), "");
}

#[test]
fn a_soft_purge_makes_stale() {
    let origin = Origin::start();
    let gateway = stored(&origin);
    let before = origin.count();
    assert_eq!(purge(&gateway, "tag=x&soft"), 4);
    let stale = get(&gateway, "/img/a", &[]);
    assert_eq!(told(&stale), ("answer 1".to_owned(), true));
    until("it is fetched anew", || origin.count() == before + 1);
    until("the new one answers", || {
        get(&gateway, "/img/a", &[]).text() != "answer 1"
    });
}

#[test]
fn the_command_does_the_same() {
    let origin = Origin::start();
    let gateway = stored(&origin);
    let config = gateway.file("wiregate.yaml");
    let run = |arguments: &[&str]| {
        let output = wiregate(&["cache", "purge", "--config"])
            .arg(&config)
            .args(arguments)
            .output()
            .unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let url = gateway.url("/css/../img/a");
    assert_eq!(
        run(&["--url", &url]),
        (Some(0), "1 response purged\n".to_owned())
    );
    assert_eq!(
        run(&["--prefix", &gateway.url("/css/")]).1,
        "2 responses purged\n"
    );
    assert_eq!(run(&["--tag", "x", "--soft"]).1, "1 response made stale\n");
    assert_eq!(
        run(&["--all", "--cache", "default"]).1,
        "1 response purged\n"
    );
    let (code, text) = run(&["--all", "--cache", "big"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("there is no cache `big`"), "{text}");
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--all", "--tag", "x"]).0, Some(2));
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let origin = Origin::start();
    let gateway = stored(&origin);
    for query in [
        "",
        "soft",
        "url=/a",
        "tag=",
        "tag=a&all",
        "what=a",
        "url=ftp%3A//a/",
        "all=0",
        "all=false",
        "all=false&soft",
        "tag=x&soft=no",
    ] {
        let answer = gateway.admin("POST", &format!("/caches/purge?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    assert_eq!(gateway.admin("GET", "/caches/purge?all").status, 405);
    assert_eq!(left(&gateway), PATHS);
    let caches = gateway.admin("GET", "/caches").json();
    assert_eq!(caches["caches"]["default"]["entries"], 4);
    let entries = gateway.metric("wiregate_cache_entries{cache=\"default\"}");
    assert!((entries - 4.0).abs() < 0.1);
}

#[test]
fn a_purge_hits_a_fetch_that_is_under_way() {
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let address = origin::serve(move |_, mut stream| {
        while origin::head(&mut stream).is_some() {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if number == 0 {
                let _ = goes.lock().unwrap().recv();
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 1\r\n\r\n{number}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ));
    let url = gateway.url("/a");
    let waiting = std::thread::spawn(move || curl(&[&url]));
    until("it is asked", || {
        asked.load(std::sync::atomic::Ordering::SeqCst) == 1
    });
    purge(&gateway, "all");
    go.send(()).unwrap();
    assert_eq!(waiting.join().unwrap().text(), "0");
    assert_eq!(get(&gateway, "/a", &[]).text(), "1");
}
