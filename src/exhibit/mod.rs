//! Exhibits: famous mistakes of event loops, each beside its cure, on the same parts as the server.
//!
//! The rules of an exhibit:
//!
//! - It is a file to be read from the top: what it shows, what is expected, the mistake, the cure.
//! - It says what it expects before it measures. Expectations are formulas, bands or ratios, never a figure of one
//!   machine; a busy machine does not break them.
//! - The mistake is really made and the cure really taken, and both are measured. When the kernel disagrees with
//!   what was expected, that is said, and the exhibit has failed.
//! - It leaves nothing behind: no process, no fd, no limit.

mod bad_fd;
mod duplicate;
mod edge_triggered;
mod emfile;
mod epollout;
mod fd_setsize;
mod herd;
mod interrupted;
mod leaked_waiters;
mod no_cursor;
mod parts;
mod regular_file;
mod show;
mod stale;
mod threads;
mod timestamps;
mod two_writes;

pub use show::Verdict;
use show::{Say, Show};
use std::io;

/// A mistake and its cure.
pub struct Exhibit {
    /// By which it is asked for.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Where it can be read.
    pub file: &'static str,
    /// What is done wrong.
    mistake: &'static str,
    /// What is done instead.
    cure: &'static str,
    /// Why the kernel does what is measured.
    why: &'static str,
    run: fn(&mut Show<'_>) -> io::Result<()>,
}

/// Every exhibit, in the order of a course: fds, readiness, waiting, writing, waiters, workers.
pub const ALL: &[Exhibit] = &[
    emfile::EXHIBIT,
    edge_triggered::EXHIBIT,
    epollout::EXHIBIT,
    duplicate::EXHIBIT,
    stale::EXHIBIT,
    fd_setsize::EXHIBIT,
    regular_file::EXHIBIT,
    bad_fd::EXHIBIT,
    interrupted::EXHIBIT,
    two_writes::EXHIBIT,
    no_cursor::EXHIBIT,
    timestamps::EXHIBIT,
    leaked_waiters::EXHIBIT,
    threads::EXHIBIT,
    herd::EXHIBIT,
];

impl Exhibit {
    /// Shows it line by line. An error means that it could not be shown at all, not that it failed.
    pub fn show(&self, say: Say<'_>) -> io::Result<Verdict> {
        say(&format!("{}: {}", self.name, self.about));
        paragraph(say, "The mistake", self.mistake);
        paragraph(say, "The cure", self.cure);
        let mut show = Show::new(say);
        (self.run)(&mut show)?;
        let verdict = show.verdict();
        paragraph(say, "Why", self.why);
        say("");
        say(&format!("{verdict} To read it: {}", self.file));
        Ok(verdict)
    }
}

fn paragraph(say: Say<'_>, title: &str, text: &str) {
    say("");
    say(title);
    for line in text.lines() {
        say(&format!("  {}", line.trim()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const WRONG: Exhibit = Exhibit {
        name: "wrong",
        about: "an expectation that no kernel meets",
        file: "nowhere",
        mistake: "one",
        cure: "none",
        why: "because",
        run: |show| {
            let expected = show.expect("bytes that a pipe without bytes holds", show::exactly(1_u64));
            let (reader, _writer) = crate::sys::pipe()?;
            show.measured(expected, crate::sys::unread(&reader)?);
            Ok(())
        },
    };

    #[test]
    fn an_exhibit_whose_expectation_is_wrong_says_so_and_fails() {
        let mut lines = Vec::new();
        let verdict = WRONG.show(&mut |line| lines.push(line.to_owned())).unwrap();
        assert!(!verdict.agrees());
        assert!(lines.iter().any(|line| line.contains("not as expected")), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("The kernel disagrees"), "{lines:?}");
    }

    #[test]
    fn names_are_unique_and_can_be_typed() {
        let names: HashSet<&str> = ALL.iter().map(|exhibit| exhibit.name).collect();
        assert_eq!(names.len(), ALL.len());
        let typed = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.into_iter().all(typed));
    }

    #[test]
    fn an_exhibit_is_in_the_file_it_names() {
        for exhibit in ALL {
            let text = std::fs::read_to_string(exhibit.file).unwrap();
            assert!(text.contains(&format!("name: \"{}\"", exhibit.name)), "{}", exhibit.file);
        }
    }
}
