//! The only place where shell text is made.
//!
//! A [`Script`] is built from static text written by us and from [`Arg`]s, each of which is quoted; no `format!`
//! makes a command anywhere. A script reaches a host on standard input, as one function whose last line calls it,
//! so that a connection cut in the middle runs nothing, and no child can read the rest of the script.
//!
//! A [`Frame`] is one question's answer within a larger output: between marks that hold a random nonce, with its
//! exit status and a size cap, so that the output of a command can neither forge nor swallow another's answer.
//! This module runs nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// How the program that reads the script is started on a host, by the login shell of the account we connect as.
/// An empty environment protects against variables, aliases and functions of that login shell (sshd starts the
/// shell with `-c`, and this replaces it).
///
/// `SSH_CONNECTION` alone comes through (sshd sets it): it says which address the host sees us come from.
pub const ENTRY_ROOT: &str = concat!(
    "exec /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C ",
    "/usr/bin/sudo -n /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C ",
    "SSH_CONNECTION=\"$SSH_CONNECTION\" /bin/sh -s"
);

/// The same without sudo: for an account that is root already, or for questions that need no privilege.
pub const ENTRY_PLAIN: &str = concat!(
    "exec /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C ",
    "SSH_CONNECTION=\"$SSH_CONNECTION\" /bin/sh -s"
);

/// One word of a command, quoted when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg(String);

/// A NUL byte cannot be passed to any program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a NUL byte cannot be an argument of a command")]
pub struct NulByte;

impl Arg {
    /// Any text without NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, NulByte> {
        let text = text.into();
        if text.contains('\0') { Err(NulByte) } else { Ok(Self(text)) }
    }

    /// Text that may hold NUL bytes, with those replaced by U+FFFD: for content that is known to be text.
    pub fn lossy(text: impl Into<String>) -> Self {
        Self(text.into().replace('\0', "\u{fffd}"))
    }

    /// The word in single quotes, as POSIX sh reads it back byte for byte (XCU 2.2.2: nothing is special between
    /// single quotes but the quote itself).
    pub fn quoted(&self) -> String {
        let mut quoted = String::with_capacity(self.0.len() + self.0.len() / 16 + 2);
        quote(&self.0, &mut quoted);
        quoted
    }
}

/// Writes `text` as [`Arg::quoted`] does.
fn quote(text: &str, to: &mut String) {
    to.push('\'');
    let mut rest = text;
    // A question is itself one word of a script, kilobytes long: it is copied in pieces.
    while let Some((piece, behind)) = rest.split_once('\'') {
        to.push_str(piece);
        to.push_str("'\\''");
        rest = behind;
    }
    to.push_str(rest);
    to.push('\'');
}

macro_rules! arg_from_number {
    ($($number:ty),*) => { $(impl From<$number> for Arg { fn from(number: $number) -> Self { Self(number.to_string()) } })* };
}
arg_from_number!(u8, u16, u32, u64, usize, i64);

/// Types whose text is checked when they are made ([`crate::domain`]) become arguments by this.
impl<T: crate::domain::Checked + ?Sized> From<&T> for Arg {
    fn from(checked: &T) -> Self {
        Self::lossy(checked.text().into_owned())
    }
}

/// Words that are ours.
impl Arg {
    /// A word written by us.
    pub fn word(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

/// Shell text: static fragments and quoted arguments, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    body: String,
}

impl Script {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Text written by us: function definitions, control flow. It is written as it stands, on lines of its own.
    #[must_use]
    pub fn text(mut self, text: &'static str) -> Self {
        self.body.push_str(text);
        if !text.ends_with('\n') {
            self.body.push('\n');
        }
        self
    }

    /// `command 'arg' 'arg' …` on a line of its own.
    #[must_use]
    pub fn call(mut self, command: &'static str, args: impl IntoIterator<Item = Arg>) -> Self {
        self.body.push_str(command);
        for arg in args {
            self.body.push(' ');
            quote(&arg.0, &mut self.body);
        }
        self.body.push('\n');
        self
    }

    /// `name='value'` on a line of its own.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<Arg>) -> Self {
        let _ = writeln!(self.body, "{name}={}", value.into().quoted());
        self
    }

    /// Another script's text after this one's.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        self.body.push_str(&other.body);
        self
    }

    /// `command 'arg' … 'BODY'`, where BODY is the whole of another script as one quoted word: for `sh -c`, and for
    /// writing a script to a file.
    #[must_use]
    pub fn call_with_script(
        self,
        command: &'static str,
        args: impl IntoIterator<Item = Arg>,
        body: &Self,
    ) -> Self {
        let mut args: Vec<Arg> = args.into_iter().collect();
        args.push(Arg::lossy(body.body.clone()));
        self.call(command, args)
    }

    /// What would run, without the wrapping: what `--script` shows.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The bytes to send to `sh -s`. Cut anywhere, they run nothing; `</dev/null` keeps children away from the rest.
    pub fn to_stdin(&self) -> String {
        format!("palisade_main() {{\n{}}}\n{{ palisade_main </dev/null; exit $?; }}\n", self.body)
    }
}

/// How a remote program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this status.
    Status(u32),
    /// By a signal, or the connection closed before a status came.
    Unknown,
}

impl Exit {
    /// Exit status 0.
    pub fn success(self) -> bool {
        self == Self::Status(0)
    }
}

/// What one exec gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, at most as long as the caller's cap.
    pub stdout: Vec<u8>,
    /// Standard error, at most as long as the caller's cap.
    pub stderr: Vec<u8>,
}

/// A random value, new in every run, that a host's commands cannot know before they answer. 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// From 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a word of a command.
    pub fn as_arg(&self) -> Arg {
        Arg(self.0.clone())
    }
}

/// What a question is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A shell, `sh -c`.
    Shell(Script),
    /// The reader, which starts no program but the tools that it asks.
    Perl(Perl),
}

/// Text for the reader on a host (`reader.pl` names what it may call), and the lists of words that it is given: no word
/// ever becomes part of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Perl {
    text: String,
    words: Vec<Arg>,
    unseen: Vec<(&'static str, Arg)>,
}

impl Perl {
    /// Text written by us.
    pub fn new(text: &'static str) -> Self {
        Self::default().then(text)
    }

    /// More of it.
    #[must_use]
    pub fn then(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
        self
    }

    /// The words that `given('NAME')` returns.
    #[must_use]
    pub fn given(mut self, name: &'static str, words: impl IntoIterator<Item = Arg>) -> Self {
        let words: Vec<Arg> = words.into_iter().collect();
        self.words.extend([Arg::word(name), words.len().into()]);
        self.words.extend(words);
        self
    }

    /// A word that `unseen('NAME')` returns, and that no list of processes on the host shows. It holds no line break; its
    /// name is used once in a script.
    #[must_use]
    pub fn unseen(mut self, name: &'static str, word: Arg) -> Self {
        self.unseen.push((name, word));
        self
    }

    /// What it would run.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The variable that brings unseen words, a line each; none where there are no such words.
fn unseen<'a>(bodies: impl Iterator<Item = &'a Body>) -> Option<Arg> {
    let words = bodies.filter_map(|body| match body {
        Body::Perl(perl) => Some(&perl.unseen),
        Body::Shell(_) => None,
    });
    let lines: Vec<String> = words.flatten().map(|(name, word)| format!("{name} {}", word.0)).collect();
    (!lines.is_empty()).then(|| Arg(lines.join("\n")))
}

impl From<Script> for Body {
    fn from(script: Script) -> Self {
        Self::Shell(script)
    }
}

impl From<Perl> for Body {
    fn from(perl: Perl) -> Self {
        Self::Perl(perl)
    }
}

impl Body {
    /// As a script of its own, whose answer stands in no frame. `cap` is in bytes.
    pub fn script(&self, cap: usize) -> Script {
        match self {
            Self::Shell(script) => script.clone(),
            Self::Perl(perl) => {
                let words = [cap.into(), Arg::lossy(perl.text.clone())];
                let words = words.into_iter().chain(perl.words.iter().cloned());
                let script = Script::new().set("palisade_asker", Arg::word(&ASKER));
                match unseen(std::iter::once(self)) {
                    None => script.call("perl -e \"$palisade_asker\"", words),
                    Some(unseen) => script
                        .set("palisade_unseen", unseen)
                        .call("palisade_unseen=$palisade_unseen perl -e \"$palisade_asker\"", words),
                }
            }
        }
    }

    /// The language, the text and the words.
    fn parts(&self) -> (&'static str, &str, &[Arg]) {
        match self {
            Self::Shell(script) => ("sh", &script.body, &[]),
            Self::Perl(perl) => ("perl", &perl.text, &perl.words),
        }
    }
}

/// One question within a larger script, bounded in time and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked, by which the answer is found again. Lower-case letters, digits and dashes.
    pub label: &'static str,
    /// What is asked. Read-only. It runs as a process of its own, so it can rely on nothing defined outside.
    pub body: Body,
    /// Seconds after which the body and its children are killed.
    pub seconds: u32,
    /// Bytes of standard output that are read; an answer that reaches them is cut, and so unknown.
    pub cap: usize,
}

/// The answer to one [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The question's label.
    pub label: String,
    /// Exit status of the body; 124 or 137 where it was killed for taking too long (coreutils' timeout).
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Whether the output reached the cap and was cut.
    pub cut: bool,
}

/// Why a frame gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The marks of this question are missing: the output was cut or something swallowed it.
    #[error("the host gave no answer to `{0}` (its output ended early)")]
    Missing(String),
    /// A mark appears where it cannot.
    #[error("the host's answer to `{0}` is malformed")]
    Malformed(String),
    /// The question ran out of time on the host.
    #[error("`{0}` did not finish within its time on the host")]
    TimedOut(String),
    /// The answer was longer than its cap.
    #[error("the answer to `{0}` was longer than its cap, and was cut")]
    TooLong(String),
}

/// The program that asks, which perl runs on the host: without its comments and indentation, since every look sends it.
static ASKER: LazyLock<String> = LazyLock::new(|| reader_with(include_str!("ask.pl")));

/// A program that may call what `reader.pl` has.
pub(crate) fn reader_with(text: &str) -> String {
    let lines = include_str!("reader.pl").lines().chain(text.lines()).map(str::trim_start);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n")
}

impl Script {
    /// All `questions` in one script, each answer in a frame of its own.
    #[must_use]
    pub fn framed<'a>(self, nonce: &Nonce, questions: impl IntoIterator<Item = &'a Question>) -> Self {
        let questions: Vec<&Question> = questions.into_iter().collect();
        let mut script = self.set("palisade_nonce", nonce.as_arg()).set("palisade_asker", Arg::word(&ASKER));
        if let Some(unseen) = unseen(questions.iter().map(|question| &question.body)) {
            script = script.set("palisade_unseen", unseen);
            script.body.push_str("palisade_unseen=$palisade_unseen ");
        }
        script.body.push_str("palisade_nonce=$palisade_nonce perl -e \"$palisade_asker\"");
        for question in questions {
            script.body.push_str(" \\\n");
            quote(question.label, &mut script.body);
            let (language, text, words) = question.body.parts();
            let _ = write!(script.body, " {} {} {language} ", question.seconds, question.cap);
            quote(text, &mut script.body);
            let _ = write!(script.body, " {}", words.len());
            for word in words {
                script.body.push(' ');
                quote(&word.0, &mut script.body);
            }
        }
        script.body.push('\n');
        script
    }
}

/// The answer to `question` in `output`, if it is whole.
pub fn frame(output: &Output, nonce: &Nonce, question: &Question) -> Result<Frame, FrameError> {
    let label = question.label;
    let (stdout, status) = between(&output.stdout, nonce, label)?;
    let (stderr, _) = between(&output.stderr, nonce, label)?;
    let cut = stdout.len() >= question.cap;
    if matches!(status, 124 | 137) {
        return Err(FrameError::TimedOut(label.to_owned()));
    }
    if cut {
        return Err(FrameError::TooLong(label.to_owned()));
    }
    Ok(Frame { label: label.to_owned(), status, stdout, stderr, cut })
}

fn between(stream: &[u8], nonce: &Nonce, label: &str) -> Result<(Vec<u8>, u32), FrameError> {
    let begin = format!("\n{} begin {label}\n", nonce.0);
    let end = format!("\n{} end {label} ", nonce.0);
    let missing = || FrameError::Missing(label.to_owned());
    let malformed = || FrameError::Malformed(label.to_owned());
    let from = memmem::find(stream, begin.as_bytes()).ok_or_else(missing)? + begin.len();
    // An answer is as long as a host likes, so every search here is linear.
    let rest = stream.get(from..).ok_or_else(missing)?;
    let length = memmem::find(rest, end.as_bytes()).ok_or_else(missing)?;
    let body = rest.get(..length).ok_or_else(missing)?.to_vec();
    if memmem::find(&body, nonce.0.as_bytes()).is_some() {
        return Err(malformed());
    }
    let tail = rest.get(length + end.len()..).ok_or_else(missing)?;
    // Without its line's end a status may be the first digits of another: 12 of 124.
    let end = memchr::memchr(b'\n', tail).ok_or_else(missing)?;
    let line = tail.get(..end).ok_or_else(malformed)?;
    let status = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    Ok((body, status))
}
