//! The live table.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::admin::Asking;
use super::super::{Outcome, colour};
use super::figures::Figures;
use super::keys::{self, Key};
use super::page::{Page, Sort};
use super::screen::{Screen, typed};
use super::{Look, look};

/// What is on the screen.
struct Shown {
    /// What happened; nothing before the second look.
    figures: Option<Figures>,
    /// Why the last look failed.
    failed: Option<String>,
    sort: Sort,
    /// How many lines are above the first one that is seen.
    above: usize,
    colour: bool,
}

/// Shows what happens until a key or a signal ends it.
pub(super) async fn show(asking: Asking, first: Look, every: Duration) -> Outcome {
    let mut resized = signal(SignalKind::window_change())?;
    let mut ends = Ends::listen()?;
    let mut keys = typed();
    let screen = Screen::enter()?;
    let mut looks = looks(asking, every);
    let mut shown = Shown {
        figures: None,
        failed: None,
        sort: Sort::Requests,
        above: 0,
        colour: colour(&std::io::stdout()),
    };
    let mut last = first;
    let mut typing = true;
    loop {
        shown.draw(&screen)?;
        tokio::select! {
            () = ends.heard() => break,
            _ = resized.recv() => {}
            pressed = keys.recv(), if typing => match pressed {
                Some(bytes) => {
                    if !keys::read(&bytes).into_iter().all(|key| shown.obey(key)) {
                        break;
                    }
                }
                None => typing = false,
            },
            Some(looked) = looks.recv() => shown.take(looked, &mut last),
        }
    }
    drop(screen);
    Ok(())
}

/// Looks again and again. A gateway that does not answer keeps no key waiting.
fn looks(asking: Asking, every: Duration) -> mpsc::Receiver<Result<Look, String>> {
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if tell.send(look(&asking).await).await.is_err() {
                return;
            }
        }
    });
    told
}

/// The signals that end it, so that the terminal is given back.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Ends {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

impl Shown {
    fn take(&mut self, looked: Result<Look, String>, last: &mut Look) {
        match looked {
            Ok(now) => {
                self.figures = Some(Figures::between(last, &now));
                self.failed = None;
                *last = now;
            }
            // What is there stays, and says that it is old.
            Err(why) => self.failed = Some(why),
        }
    }

    /// Does what a key asks for; false where it is to end.
    fn obey(&mut self, key: Key) -> bool {
        let page = Screen::size().1.saturating_sub(3).max(1);
        match key {
            Key::Quit => return false,
            Key::Sort => self.sort = self.sort.next(),
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::Down => self.above += 1,
            Key::PageUp => self.above = self.above.saturating_sub(page),
            Key::PageDown => self.above += page,
            Key::First => self.above = 0,
            Key::Last => self.above = usize::MAX / 2,
        }
        true
    }

    fn draw(&mut self, screen: &Screen) -> std::io::Result<()> {
        let (width, height) = Screen::size();
        screen.show(&self.lines(width, height))
    }

    /// The head, as many lines of tables as there is room for, and what keys do.
    fn lines(&mut self, width: usize, height: usize) -> Vec<String> {
        let Some(figures) = &self.figures else {
            let waiting = self.failed.clone();
            return vec![waiting.unwrap_or_else(|| "one moment: rates need two looks".into())];
        };
        let page = Page::of(figures, self.sort);
        let all = page.lines(width);
        let room = height.saturating_sub(3);
        self.above = self.above.min(all.len().saturating_sub(room));
        let mut lines = vec![match &self.failed {
            Some(why) => format!("old: {why}"),
            None => page.head,
        }];
        if height > 3 {
            lines.push(String::new());
            let seen = all.iter().skip(self.above).take(room);
            lines.extend(seen.map(|line| line.shown(self.colour)));
        }
        let below = all.len().saturating_sub(self.above + room);
        let more = if below > 0 {
            format!("  {below} more lines below")
        } else {
            String::new()
        };
        lines.truncate(height.saturating_sub(1));
        lines.push(format!(
            "q quit  s sort: {}  arrows scroll{more}",
            self.sort.word()
        ));
        lines
    }
}
