//! Whether a program says what a page says that it says.
//!
//! What differs from run to run is made the same on both sides: epochs, times, ports, process ids, cookies.
//! Where more may differ the page itself says so: `…` stands for any text within a line, and a line that is
//! nothing but `…` for any number of lines.

/// Whether what was said is what was expected, but for what may differ.
pub fn says(expected: &str, said: &str) -> bool {
    let (expected, said) = (masked(expected), masked(said));
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let said: Vec<&str> = said.trim_end().lines().collect();
    lines_match(&expected, &said)
}

/// A gap takes as little as it can: what fits early leaves the most for the rest.
fn lines_match(expected: &[&str], said: &[&str]) -> bool {
    let parts: Vec<&[&str]> = expected.split(|line| line.trim() == "…").collect();
    let [first, between @ .., last] = &parts[..] else { return fit(expected, said) };
    if said.len() < first.len() || !fit(first, &said[..first.len()]) {
        return false;
    }
    let mut rest = &said[first.len()..];
    for part in between.iter().filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|lines| fit(part, lines)) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && fit(last, &rest[rest.len() - last.len()..])
}

fn fit(patterns: &[&str], lines: &[&str]) -> bool {
    patterns.len() == lines.len()
        && patterns.iter().zip(lines).all(|(pattern, line)| line_matches(pattern, line))
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [first, between @ .., last] = &parts[..] else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Makes the same what differs from run to run.
fn masked(text: &str) -> String {
    let not_quote = |c: char| c != '"';
    let digit = |c: char| c.is_ascii_digit();
    let mut text = without_epochs(text);
    text = mask(&text, "\"time\":\"", not_quote);
    text = mask(&text, "\"peer\":\"", not_quote);
    text = mask(&text, "\"pid\":", digit);
    text = mask(&text, "127.0.0.1:", digit);
    text = mask(&text, "retry: ", digit);
    text = mask(&text, "Date: ", |c| c.is_ascii_alphanumeric() || ", :".contains(c));
    mask(&text, "doorbell=", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Puts `*` for the characters of this kind that follow these words.
fn mask(text: &str, after: &str, kind: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(after);
    let mut masked = parts.next().unwrap().to_owned();
    for part in parts {
        masked.push_str(after);
        let rest = part.trim_start_matches(&kind);
        masked.push_str(if rest.len() < part.len() { "*" } else { "" });
        masked.push_str(rest);
    }
    masked
}

/// The epoch of each cursor is six digits to base 36.
fn without_epochs(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match word.split_once('-') {
            Some((epoch, seq)) if is_cursor(epoch, seq) => {
                masked.push_str("epoch-");
                masked.push_str(seq);
            }
            _ => masked.push_str(word),
        }
        rest = after;
    }
    masked
}

fn is_cursor(epoch: &str, seq: &str) -> bool {
    let base_36 = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    epoch.len() == 6
        && epoch.bytes().all(base_36)
        && !seq.is_empty()
        && seq.bytes().all(|c| c.is_ascii_digit())
}
