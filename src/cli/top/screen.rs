//! The terminal while it belongs to this program.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// The other screen, without a cursor, and with lines that are cut at its edge.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What a terminal has that does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// The terminal. It gets back what it had when this is dropped.
pub(super) struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        // Keys may come from elsewhere, or from nowhere.
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin)).transpose()?;
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&stdin, OptionalActions::Flush, &raw)?;
        }
        let this = Self { before };
        put(ENTER)?;
        Ok(this)
    }

    /// Its columns and rows.
    pub(super) fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => USUAL,
        }
    }

    /// Shows these lines and nothing else.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        // Between the first and the last mark, terminals that know them show nothing half done.
        let mut frame = String::from("\x1b[?2026h\x1b[H");
        for (position, line) in lines.iter().enumerate() {
            if position > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[K");
        }
        frame.push_str("\x1b[J\x1b[?2026l");
        put(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = put(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What is typed, as it comes.
pub(super) fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel(16);
    // It ends with the process: a read cannot be called off.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(size @ 1..) = io::stdin().read(&mut buffer) {
            if tell.blocking_send(buffer[..size].to_vec()).is_err() {
                return;
            }
        }
    });
    told
}
