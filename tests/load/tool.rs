//! The built program as a load tool: a child process, with a report of its own.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::harness::Exit;

/// How long a run may take that is to take a second or two, on a machine that does much besides.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reports have names of their own, for tests run side by side.
static REPORTS: AtomicUsize = AtomicUsize::new(0);

/// One run of the tool.
pub(crate) struct Tool {
    child: Child,
    output: Receiver<(String, String)>,
    report: PathBuf,
}

/// A path in the temporary folder that no other test has.
fn path_of_its_own(name: &str) -> PathBuf {
    let number = REPORTS.fetch_add(1, Ordering::SeqCst);
    std::env::temp_dir().join(format!("geoloop-{}-{number}-{name}", std::process::id()))
}

/// One that has ended.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    report: Option<String>,
}

impl Tool {
    /// Starts `geoloop load` with these flags, separated by blanks, and a report of its own.
    pub(crate) fn start(target: SocketAddr, transport: &str, flags: &str) -> Self {
        let target = target.to_string();
        let transport = if transport.is_empty() { vec![] } else { vec!["--transport", transport] };
        let flags = flags.split_ascii_whitespace();
        let arguments: Vec<_> =
            ["load", "--target", &target].into_iter().chain(transport).chain(flags).collect();
        Self::start_with(&arguments)
    }

    /// Starts `geoloop study` of one transport of a server that runs.
    pub(crate) fn start_study(target: SocketAddr, transport: &str) -> Self {
        Self::start_study_with(&["--target", &target.to_string(), "--transport", transport])
    }

    /// The same with so many descriptors that only the smallest of its runs can be made, or none.
    pub(crate) fn start_study_within(descriptors: u32, target: SocketAddr, transport: &str) -> Self {
        let folder = path_of_its_own("study");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {descriptors} && exec \"$@\""), "sh"])
            .arg(env!("CARGO_BIN_EXE_geoloop"))
            .args(["study", "--quick", "--target", &target.to_string(), "--transport", transport, "--out"])
            .arg(&folder);
        Self::spawn(command, folder.join("report.json"))
    }

    /// Starts `geoloop study` of one transport of servers that it starts by itself.
    pub(crate) fn start_study_of_its_own(transport: &str) -> Self {
        Self::start_study_with(&["--transport", transport])
    }

    fn start_study_with(flags: &[&str]) -> Self {
        let folder = path_of_its_own("study");
        let mut command = Command::new(env!("CARGO_BIN_EXE_geoloop"));
        command.args(["study", "--quick", "--out"]).arg(&folder).args(flags);
        Self::spawn(command, folder.join("report.json"))
    }

    fn start_with(arguments: &[&str]) -> Self {
        let report = path_of_its_own("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_geoloop"));
        command.args(arguments).arg("--json").arg(&report);
        Self::spawn(command, report)
    }

    fn spawn(mut command: Command, report: PathBuf) -> Self {
        command.env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built for this test");
        let (mut stdout, mut stderr) =
            (child.stdout.take().expect("stdout is piped"), child.stderr.take().expect("stderr is piped"));
        let (sender, output) = channel();
        thread::spawn(move || {
            let (mut printed, mut told) = (String::new(), String::new());
            drop(stdout.read_to_string(&mut printed));
            drop(stderr.read_to_string(&mut told));
            drop(sender.send((printed, told)));
        });
        Self { child, output, report }
    }

    /// The process, for signals.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let kill = format!("kill -s INT {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("`sh` is there");
        assert!(status.success(), "{kill}: {status}");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        let Ok((stdout, stderr)) = self.output.recv_timeout(PATIENCE) else {
            drop(self.child.kill());
            panic!("the tool does not end by itself");
        };
        assert!(!stderr.contains("panicked at"), "the tool panicked:\n{stderr}");
        let status = self.child.wait().expect("a child of ours");
        let report = std::fs::read_to_string(&self.report).ok();
        Ran { exit: Exit { code: status.code(), stdout, stderr }, report }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind who puts a load on something for an hour.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.report));
        if let Some(folder) = self.report.parent().filter(|folder| *folder != std::env::temp_dir()) {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

impl Ran {
    /// The report that it wrote.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let report = self.report.as_ref().expect("it wrote a report");
        serde_json::from_str(report).expect("the report is JSON")
    }

    /// Whether it wrote one, and not only began to.
    pub(crate) fn has_report(&self) -> bool {
        self.report.as_ref().is_some_and(|report| !report.is_empty())
    }
}
