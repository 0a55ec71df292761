//! This program once more, as a process beside this one: clone(2) with CLONE_PIDFD, execve(2), and at last
//! pidfd_send_signal(2) and waitid(2).
//!
//! A pidfd stands for a process as a socket stands for a connection: it is readable when the process has ended
//! (pidfd_open(2)), so an end is one more thing to wait for, and no signal handler is needed. And a pid may be given
//! out again, while a pidfd means this process and no other.

use super::process::process_id;
use super::{Call, Fd, told};
use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;

/// A process of this program that ends with this one. It is killed and waited for when this is dropped, and the kernel
/// kills it if we die without having done so (PR_SET_PDEATHSIG, prctl(2)).
#[derive(Debug)]
pub struct Companion {
    pidfd: Fd,
    pid: u32,
    ended: bool,
}

/// How to ask a companion to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// SIGTERM: it may say goodbye.
    Ask,
    /// SIGKILL.
    Kill,
}

/// How a companion has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// What execve(2) is to be given. Nothing may be allocated in the child, so it is made before.
struct Words {
    words: Vec<CString>,
    environment: Vec<CString>,
}

impl Companion {
    /// Runs this program with other words. Its standard input, output and error are /dev/null, no signal is blocked;
    /// the variables of the environment that begin with `without` are kept from it.
    pub fn start<'a>(words: impl IntoIterator<Item = &'a str>, without: &str) -> io::Result<Companion> {
        let words = Words::new(words, without)?;
        let (arguments, environment) = (pointers(&words.words), pointers(&words.environment));
        let parent = process_id();
        let mut pidfd: libc::c_int = -1;
        // The clone has memory of its own (no CLONE_VM), and we go on when it has become the program (CLONE_VFORK).
        let flags = libc::c_long::from(libc::CLONE_PIDFD | libc::CLONE_VFORK | libc::SIGCHLD);
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: without CLONE_VM both go on with memory and a stack of their own; the kernel writes one int, which
        // is `pidfd`, and this is the only thread, so the child finds no lock taken.
        let result = unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none) };
        if result == 0 {
            become_program(parent, &arguments, &environment);
        }
        let pid = told!(Call::Clone, result as isize, |telling, _| {
            telling.with("child_stack=NULL").with("flags=CLONE_PIDFD|CLONE_VFORK|SIGCHLD");
            telling.with(format!("parent_tid=[{pidfd}]"));
        })?;
        Ok(Companion { pidfd: Fd::new(pidfd as usize), pid: pid as u32, ended: false })
    }

    /// Readable when it has ended.
    pub fn pidfd(&self) -> &Fd {
        &self.pidfd
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// pidfd_send_signal(2).
    pub fn part(&self, parting: Parting) -> io::Result<()> {
        let (signal, name) = match parting {
            Parting::Ask => (libc::SIGTERM, "SIGTERM"),
            Parting::Kill => (libc::SIGKILL, "SIGKILL"),
        };
        const NO_FLAGS: libc::c_long = 0;
        let none = ptr::null::<libc::siginfo_t>();
        let number = self.pidfd.number();
        // What goes through syscall(2) is handed over as longs.
        let [pidfd, signal] = [number, signal].map(libc::c_long::from);
        // SAFETY: a null pointer asks for the siginfo that kill(2) would send.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, none, NO_FLAGS) };
        told!(Call::PidfdSendSignal, result as isize, |telling, _| {
            telling.on(number).with(name).with("NULL").with(0);
        })
        .map(drop)
    }

    /// waitid(2): how it has ended. Waits for that, unless the pidfd is readable.
    pub fn wait(&mut self) -> io::Result<End> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let number = self.pidfd.number();
        // SAFETY: the kernel writes one siginfo_t, which is `info`.
        let result =
            unsafe { libc::waitid(libc::P_PIDFD, number as libc::id_t, info.as_mut_ptr(), libc::WEXITED) };
        // SAFETY: all-zero bytes are a valid siginfo_t, and so is what the kernel wrote.
        let info = unsafe { info.assume_init() };
        // SAFETY: a siginfo_t of waitid(2) has the fields of SIGCHLD, and one of zeros has zeros there.
        let (pid, user, status) = unsafe { (info.si_pid(), info.si_uid(), info.si_status()) };
        let end = if info.si_code == libc::CLD_EXITED { End::Exited(status) } else { End::Killed(status) };
        let told = told!(Call::Waitid, result as isize, |telling, _| {
            let (code, status) = end.words();
            // SAFETY: as above.
            let (in_user_mode, in_kernel) = unsafe { (info.si_utime(), info.si_stime()) };
            let who = format!("si_signo=SIGCHLD, si_code={code}, si_pid={pid}, si_uid={user}");
            let how = format!("si_status={status}, si_utime={in_user_mode}, si_stime={in_kernel}");
            telling.with("P_PIDFD").on(number).with(format!("{{{who}, {how}}}")).with("WEXITED").with("NULL");
        });
        // Any other error: there is nobody to be waited for.
        self.ended = !told.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
        told.map(|_| end)
    }
}

impl End {
    /// The code and the status, as strace(1) writes them.
    fn words(self) -> (&'static str, String) {
        match self {
            End::Exited(status) => ("CLD_EXITED", status.to_string()),
            End::Killed(signal) => {
                let name = nix::sys::signal::Signal::try_from(signal);
                ("CLD_KILLED", name.map_or_else(|_| signal.to_string(), |name| name.as_str().to_owned()))
            }
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.part(Parting::Kill);
            while !self.ended {
                let _ = self.wait();
            }
        }
    }
}

impl Words {
    fn new<'a>(words: impl IntoIterator<Item = &'a str>, without: &str) -> io::Result<Words> {
        // So that ps(1) shows a name.
        let name = CString::new(std::env::args_os().next().unwrap_or_default().into_vec())?;
        let words = words.into_iter().map(|word| Ok(CString::new(word)?));
        let is_kept = |name: &OsStr| !name.as_bytes().starts_with(without.as_bytes());
        let variables = std::env::vars_os().filter(|(name, _)| is_kept(name));
        let variables = variables.map(|(name, value)| {
            let whole = [name.as_bytes(), b"=", value.as_bytes()].concat();
            Ok(CString::new(whole)?)
        });
        Ok(Words {
            words: std::iter::once(Ok(name)).chain(words).collect::<io::Result<_>>()?,
            environment: variables.collect::<io::Result<_>>()?,
        })
    }
}

/// As execve(2) takes them: a pointer to each, and a null pointer behind the last.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child: clears what was inherited, and becomes the program.
fn become_program(parent: u32, arguments: &[*const libc::c_char], environment: &[*const libc::c_char]) -> ! {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: only calls that are async-signal-safe; the set is written before it is read, the texts end in NUL, the
    // lists in a null pointer, and all of them outlive the calls. _exit(2) runs no destructor, so none runs twice.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for standard in 0..=2 {
            libc::dup2(nothing, standard);
        }
        if nothing >= 0 && die_with(parent).is_ok() {
            // The link leads to the program also after its file was replaced (proc(5)).
            libc::execve(c"/proc/self/exe".as_ptr(), arguments.as_ptr(), environment.as_ptr());
        }
        libc::_exit(127)
    }
}

/// In a child: asks to be killed when the parent dies (PR_SET_PDEATHSIG), and sees whether it has died already.
pub(super) fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: no pointers are involved.
    let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if asked == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no pointers are involved, and it cannot fail.
    let living = unsafe { libc::getppid() };
    if living as u32 == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_that_are_kept_from_it_are_not_there() {
        let words = Words::new(["one", "two"], "PATH").unwrap();
        assert_eq!(words.words[1..], [c"one".to_owned(), c"two".to_owned()]);
        assert!(!words.environment.is_empty());
        assert!(!words.environment.iter().any(|variable| variable.as_bytes().starts_with(b"PATH")));
        assert!(Words::new(["a\0b"], "").is_err());
    }
}
