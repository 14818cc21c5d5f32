//! A process that is killed while it writes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use super::*;

const CHILD: &str = "WIREGATE_TEST_STORE";
const URLS: u64 = 40;

fn url(number: u64) -> String {
    format!("http://a/{number}")
}

/// The body of a version: its length is another one for each.
fn body(version: u64) -> Bytes {
    let length = match version % 50 {
        0 => MIB + MIB / 2,
        _ => (version % 97) as usize * 700,
    };
    bytes(version, length)
}

/// Writes, purges and refreshes until it is killed, and tells of each purge that is on disk.
async fn write(folder: &Path) {
    let store = open(folder, 8 * MIB, 24 * MIB);
    let (mut random, mut version) = (fastrand::Rng::new(), fastrand::u64(..1_000_000));
    let mut say = std::io::stdout();
    writeln!(say, "ready").unwrap();
    loop {
        version += 1;
        let number = random.u64(..URLS);
        match random.u32(..40) {
            0 => {
                store.purge(&What::Url(url(number)), Mode::Hard);
                store.settled().await.unwrap();
                writeln!(say, "purged {number} {version}").unwrap();
            }
            1 => {
                if let Some(old) = fetch(&store, &url(number)).await {
                    let meta = old.meta().clone();
                    drop(lead(&store, &url(number)).refresh(&old, meta));
                }
            }
            _ => {
                let tag = version.to_string();
                put_meta(&store, &url(number), meta(&[&tag]), &body(version));
            }
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_moment_leaves_nothing_that_is_corrupt_or_purged() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return write(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut found = 0;
    for round in 0..8 {
        let purged = run_and_kill(folder.path(), Duration::from_micros(random.u64(1..250_000)));
        let store = open(folder.path(), 8 * MIB, 24 * MIB);
        for number in 0..URLS {
            let Some(entry) = fetch(&store, &url(number)).await else {
                continue;
            };
            let version: u64 = entry.meta().tags[0].parse().unwrap();
            assert!(
                read(entry.reader()).await.unwrap() == body(version),
                "round {round}"
            );
            if let Some(purge) = purged.get(&number) {
                assert!(version > *purge, "round {round}");
            }
            found += 1;
        }
        assert_eq!(store.figures().corrupt, 0, "round {round}");
        // Each run numbers its versions anew.
        store.purge(&What::All, Mode::Hard);
        store.settled().await.unwrap();
    }
    assert!(found > 50, "{found} entries were found again");
}

/// Runs the writer for a moment; gives the purges that it told of, by their URL.
fn run_and_kill(folder: &Path, after: Duration) -> HashMap<u64, u64> {
    let name = "a_process_that_is_killed_at_any_moment_leaves_nothing_that_is_corrupt_or_purged";
    let mut child = again(&format!("kill::{name}"), CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().ends_with("ready"));
    assert!(ready);
    // The moment is what is random here; nothing is waited for.
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let purges = lines.map_while(Result::ok).filter_map(|line| {
        let mut words = line.strip_prefix("purged ")?.split(' ');
        let number = words.next()?.parse().ok()?;
        Some((number, words.next()?.parse().ok()?))
    });
    purges.collect()
}
