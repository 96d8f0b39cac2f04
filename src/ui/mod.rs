//! What a person sees. Standard output is data, and nothing else; everything said about it goes to standard error.
//! Colours only on a terminal, and never where `NO_COLOR` is set.

pub mod progress;

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::report::json::Json;
use crate::report::text::Text;
use crate::report::{Page, Renderer as _, View};
use crate::style::{NARROWEST, WIDEST, wrapped};

/// How standard output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document, nothing else.
    Json,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Volume {
    /// Failures alone.
    Quiet,
    /// What matters.
    #[default]
    Normal,
    /// Everything.
    Verbose,
}

/// The one way to the terminal.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    format: Format,
    volume: Volume,
}

impl Printer {
    /// Writes in `format`, and says as much as `volume`.
    pub fn new(format: Format, volume: Volume) -> Self {
        Self { format, volume }
    }

    /// How standard output is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How much is said.
    pub fn volume(&self) -> Volume {
        self.volume
    }

    /// Whether standard error shows colours.
    pub fn is_coloured(&self) -> bool {
        anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
    }

    /// How many characters fit on a line of what people read.
    pub fn width(&self) -> usize {
        let columns = |size: rustix::termios::Winsize| usize::from(size.ws_col);
        let found = rustix::termios::tcgetwinsize(io::stdout())
            .or_else(|_| rustix::termios::tcgetwinsize(io::stderr()));
        match found.map(columns) {
            Ok(wide) if wide > 0 => wide.clamp(NARROWEST, WIDEST),
            _ => WIDEST,
        }
    }

    /// How reports are laid out here.
    pub fn view(&self) -> View {
        View { width: self.width(), all: self.volume >= Volume::Verbose }
    }

    /// What a verb shows, in the format that was asked for.
    pub fn show(&self, page: &Page<'_>) -> io::Result<()> {
        let mut out = io::BufWriter::new(anstream::stdout().lock());
        let written = match self.format {
            Format::Text => Text { view: self.view() }.render(page, &mut out),
            Format::Json => Json.render(page, &mut out),
        };
        until_closed(written.and_then(|()| out.flush()))
    }

    /// A page as text, for standard error.
    pub fn words(&self, page: &Page<'_>) -> io::Result<String> {
        Text { view: self.view() }.words(page)
    }

    /// Data for people; left out where JSON was asked for.
    pub fn text(&self, data: &str) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        self.raw(data)
    }

    /// The one JSON document; left out where text was asked for.
    pub fn json(&self, document: &Value) -> io::Result<()> {
        if self.format == Format::Text {
            return Ok(());
        }
        self.raw(&format!("{document:#}\n"))
    }

    /// Data that is neither: a completion script, a manual page.
    pub fn raw(&self, data: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        until_closed(out.write_all(data.as_bytes()).and_then(|()| out.flush()))
    }

    /// Says something about what goes on.
    pub fn say(&self, message: &str) {
        if self.volume >= Volume::Normal {
            self.line(message);
        }
    }

    /// Says what to do next.
    pub fn hints(&self, hints: &[String]) {
        for hint in hints {
            let text = wrapped(hint, 6, 6, self.width());
            self.say(&format!("{}: {}", marked("hint", AnsiColor::Cyan), text.trim_start()));
        }
    }

    /// Says something that only the curious want to know.
    pub fn detail(&self, message: &str) {
        if self.volume >= Volume::Verbose {
            self.line(message);
        }
    }

    /// Says something that is said even where quiet was asked for.
    pub fn insist(&self, message: &str) {
        self.line(message);
    }

    #[expect(clippy::unused_self, reason = "progress bars will need to be held back while a line is written")]
    fn line(self, message: &str) {
        // In one piece, so that two programs that share a terminal do not mix their lines.
        let _ = anstream::stderr().lock().write_all(format!("{message}\n").as_bytes());
    }
}

/// Whoever read us has seen enough: `palisade runs | head -1`.
fn until_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// `word` in bold and in a colour, for the beginning of a line.
pub fn marked(word: &str, colour: AnsiColor) -> String {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("{style}{word}{style:#}")
}
