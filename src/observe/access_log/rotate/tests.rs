//! Rotation with real files, other writers, and clocks that go wrong.

use std::io::Write;
use std::time::UNIX_EPOCH;

use super::*;

struct Log {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn folder() -> Log {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    Log {
        _folder: folder,
        path,
    }
}

impl Log {
    fn open(&self, rotation: Rotation) -> (File, Rotating) {
        let file = open_file(&self.path).unwrap();
        let rotating = Rotating::new(rotation, &self.path, &file).unwrap();
        (file, rotating)
    }

    /// The contents of the files that were put aside, the oldest first.
    fn aside(&self) -> Vec<String> {
        let mut files = aside(&self.path).unwrap();
        files.sort();
        let files = files.iter().map(|(_, path)| fs::read_to_string(path));
        files.map(Result::unwrap).collect()
    }

    /// Waits until old files are gone, which another thread removes.
    fn wait_for(&self, count: usize) {
        let start = Instant::now();
        while aside(&self.path).unwrap().len() != count {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
    }
}

fn by_size(size: u64, keep: usize) -> Rotation {
    Rotation {
        size: Some(size),
        every: None,
        keep,
    }
}

fn write(file: &mut File, rotating: &mut Rotating, text: &str) -> bool {
    let changed = rotating.look(file, text.len(), SystemTime::now());
    file.write_all(text.as_bytes()).unwrap();
    changed
}

#[test]
fn a_file_is_never_larger_than_it_may_be_and_the_oldest_go() {
    let log = folder();
    let (mut file, mut rotating) = log.open(by_size(10, 3));
    for n in 0..9 {
        write(&mut file, &mut rotating, &format!("line{n}"));
    }
    log.wait_for(3);
    assert_eq!(log.aside(), ["line2line3", "line4line5", "line6line7"]);
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "line8");
    // What is no file of the log's own stays.
    let other = log.path.with_file_name("access.log.20200101T000000Z.gz");
    fs::write(&other, "").unwrap();
    let foreign = log.path.with_file_name("access.log.1");
    fs::write(&foreign, "").unwrap();
    for n in 0..5 {
        write(&mut file, &mut rotating, &format!("more{n} "));
    }
    log.wait_for(3);
    assert!(other.exists() && foreign.exists());
}

#[test]
fn an_old_file_is_put_aside_and_an_empty_one_is_not_old() {
    let log = folder();
    let hour = Duration::from_secs(3600);
    let rotation = Rotation {
        size: None,
        every: Some(hour),
        keep: 2,
    };
    let (mut file, mut rotating) = log.open(rotation);
    let now = SystemTime::now();
    assert!(!rotating.look(&mut file, 1, now + hour * 2));
    file.write_all(b"a").unwrap();
    assert!(!rotating.look(&mut file, 1, now + hour * 3 - Duration::from_secs(1)));
    assert!(rotating.look(&mut file, 1, now + hour * 3));
    assert_eq!(log.aside(), ["a"]);
    // A clock that was set back is no reason.
    file.write_all(b"b").unwrap();
    assert!(!rotating.look(&mut file, 1, UNIX_EPOCH));
}

#[test]
fn a_file_that_is_there_already_is_as_old_as_it_is() {
    let log = folder();
    fs::write(&log.path, "old").unwrap();
    let metadata = fs::metadata(&log.path).unwrap();
    let (_file, rotating) = log.open(by_size(10, 1));
    if let Ok(created) = metadata.created() {
        assert_eq!(rotating.began, created);
    }
}

#[test]
fn of_two_writers_one_puts_aside_and_the_other_follows() {
    let log = folder();
    let (mut one, mut first) = log.open(by_size(10, 9));
    let (mut other, mut second) = log.open(by_size(10, 9));
    write(&mut one, &mut first, "one 1\n");
    write(&mut other, &mut second, "2\n");
    // While another one has the lock, it is left to that.
    flock(&one, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(!write(&mut other, &mut second, "other 3\n"));
    flock(&one, FlockOperation::Unlock).unwrap();
    assert!(write(&mut one, &mut first, "one 4\n"));
    assert!(write(&mut other, &mut second, "5\n"));
    assert_eq!(log.aside(), ["one 1\n2\nother 3\n"]);
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "one 4\n5\n");
    // Somebody else moves it away.
    fs::rename(&log.path, log.path.with_extension("moved")).unwrap();
    assert!(write(&mut one, &mut first, "6\n"));
    assert!(write(&mut other, &mut second, "7\n"));
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "6\n7\n");
}

#[test]
fn a_link_that_is_moved_is_followed_and_what_it_points_to_is_put_aside() {
    let log = folder();
    let [old, new] = ["old", "new"].map(|name| log.path.with_file_name(name));
    for folder in [&old, &new] {
        fs::create_dir(folder).unwrap();
    }
    std::os::unix::fs::symlink(old.join("a.log"), &log.path).unwrap();
    let (mut file, mut rotating) = log.open(by_size(10, 9));
    assert!(!write(&mut file, &mut rotating, "one\n"));
    // As those do that switch logs: the link is replaced in one step.
    let link = log.path.with_file_name("link");
    std::os::unix::fs::symlink(new.join("a.log"), &link).unwrap();
    fs::rename(&link, &log.path).unwrap();
    assert!(write(&mut file, &mut rotating, "two\n"));
    assert!(write(&mut file, &mut rotating, "three 3\n"));
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    assert_eq!(read(old.join("a.log")), "one\n");
    assert_eq!(read(new.join("a.log")), "three 3\n");
    let put_aside = aside(&new.join("a.log")).unwrap();
    let [(_, put_aside)] = &put_aside[..] else {
        panic!("{put_aside:?}");
    };
    assert_eq!(fs::read_to_string(put_aside).unwrap(), "two\n");
    assert!(log.path.is_symlink() && aside(&old.join("a.log")).unwrap().is_empty());
}

#[test]
fn many_writers_lose_and_double_nothing() {
    let log = folder();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let (mut file, mut rotating) = log.open(by_size(2000, 1000));
                // Enough that who has the lock and is put off for a moment is not all of it.
                for n in 0..5000 {
                    write(&mut file, &mut rotating, &format!("{worker} {n}\n"));
                }
            });
        }
    });
    let mut lines = log.aside().concat();
    assert!(log.aside().len() > 3);
    lines.push_str(&fs::read_to_string(&log.path).unwrap());
    let mut lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 20_000);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 20_000);
}

#[test]
fn what_fails_is_tried_again_later_and_the_file_goes_on() {
    let log = folder();
    let (mut file, mut rotating) = log.open(by_size(10, 3));
    write(&mut file, &mut rotating, "line1");
    let path = std::mem::replace(&mut rotating.path, "/proc/nowhere/access.log".into());
    assert!(!write(&mut file, &mut rotating, "line2 long"));
    assert!(rotating.failed.is_some());
    rotating.path = path;
    assert!(!write(&mut file, &mut rotating, "line3"), "not at once");
    rotating.failed = Some(Instant::now().checked_sub(PAUSE).unwrap());
    assert!(write(&mut file, &mut rotating, "line4"));
    assert_eq!(log.aside(), ["line1line2 longline3"]);
}

#[test]
fn a_link_stays_one_and_a_device_is_refused() {
    let log = folder();
    let real = log.path.with_file_name("real.log");
    fs::write(&real, "0123456789").unwrap();
    std::os::unix::fs::symlink(&real, &log.path).unwrap();
    let (mut file, mut rotating) = log.open(by_size(10, 3));
    assert!(write(&mut file, &mut rotating, "next"));
    assert_eq!(fs::read_to_string(&log.path).unwrap(), "next");
    assert!(fs::symlink_metadata(&log.path).unwrap().is_symlink());
    let null = Path::new("/dev/null");
    let refused = Rotating::new(by_size(10, 3), null, &open_file(null).unwrap());
    assert!(refused.unwrap_err().to_string().contains("is a device"));
}

#[test]
fn stamps_go_up_whatever_the_clock_does() {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let first = Stamp::after(None, at(1000));
    assert_eq!(first.text(), "19700101T001640Z");
    let second = Stamp::after(Some(&first), at(1000));
    assert_eq!(second.text(), "19700101T001640Z-2");
    let third = Stamp::after(Some(&second), at(10));
    assert_eq!(third.text(), "19700101T001640Z-3");
    let fourth = Stamp::after(Some(&third), at(1001));
    assert_eq!(fourth.text(), "19700101T001641Z");
    assert!(first < second && second < third && third < fourth);
    for stamp in [first, second, third, fourth] {
        assert_eq!(Stamp::read(&stamp.text()), Some(stamp));
    }
    for other in [
        "1",
        "",
        "19700101T001640Z-1",
        "19700101T001640Z-02",
        "19700101T001640Z.gz",
        "19700101T00164éZ",
    ] {
        assert_eq!(Stamp::read(other), None, "{other}");
    }
}
