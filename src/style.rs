//! How text is laid out for a terminal: the few styles that there are, and lines that are broken between words. It
//! knows neither the terminal nor what the text is about; the printer strips styles where they are not wanted.

use anstyle::{AnsiColor, Color, Style};

/// What the eye should find first.
pub const BOLD: Style = Style::new().bold();
/// What may be skipped.
pub const DIM: Style = Style::new().dimmed();
/// All is well.
pub const GOOD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green)));
/// Something is wrong.
pub const BAD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red)));
/// Something is not known, or about to happen.
pub const WARN: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Yellow)));
/// What to do next.
pub const HINT: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Cyan)));

/// Lines are at most this wide, however wide the terminal is: longer ones are hard to read.
pub const WIDEST: usize = 100;
/// Lines are not broken to less than this, however narrow the terminal is.
pub const NARROWEST: usize = 50;

/// `text` (without styles) in lines of at most `width` characters: the first begins after `first` blanks, the others
/// after `others`. A word that is longer than a line stands on a line of its own, unbroken, so that a path or a
/// fingerprint can be copied.
pub fn wrapped(text: &str, first: usize, others: usize, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = " ".repeat(first);
    let mut length = first;
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if !is_empty && length + 1 + word_length > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(others)));
            length = others;
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
        is_empty = false;
    }
    lines.push(line);
    lines.join("\n")
}

/// `1 host`, `2 hosts`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_no_word_is() {
        assert_eq!(wrapped("one two three", 2, 4, 10), "  one two\n    three");
        assert_eq!(wrapped("a /very/long/path b", 0, 2, 6), "a\n  /very/long/path\n  b");
        assert_eq!(wrapped("", 2, 2, 10), "  ");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((counted(1, "host"), counted(0, "host")), ("1 host".to_owned(), "0 hosts".to_owned()));
    }
}
