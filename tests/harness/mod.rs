//! The built server as a child process, and clients to speak to it with.
//!
//! Knows the server by its command line and its sockets alone. Every read has a deadline, so that a test fails
//! instead of hanging, and nothing sleeps: a test waits for an event, or for a gauge to say that it has come.
//! A panic anywhere in the server fails the test that started it.

#![allow(dead_code, reason = "each test file is a crate of its own and uses its part of the harness")]

pub(crate) mod audience;
pub(crate) mod crowd;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod reader;
pub(crate) mod rules;
pub(crate) mod sse;
pub(crate) mod stomp;
pub(crate) mod update;
pub(crate) mod websocket;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use geoloop::clock::Clock;
use socket2::{Domain, SockRef, Socket, Type};

use self::http::Answer;
use self::metrics::Scrape;
use self::update::Update;

/// How long a test waits for anything before it takes it for lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One server process of one test.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// Held open, so that what the server prints later has somewhere to go.
    stdout: BufReader<ChildStdout>,
    /// In a mutex so that the threads of a test can share a server.
    stderr: Mutex<Receiver<String>>,
    agent: ureq::Agent,
    finished: bool,
}

/// How a server process ended.
#[derive(Debug)]
pub(crate) struct Exit {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed to stdout after the line that says where it listens.
    pub(crate) stdout: String,
    /// All that it printed to stderr.
    pub(crate) stderr: String,
}

impl Server {
    /// Starts a server with these flags, on a free port of 127.0.0.1, with two workers and a short drain window if they name
    /// none, and returns once it listens.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_under(&[], flags)
    }

    /// The same, run by a command that becomes the server: one that sets a limit or picks a core and then runs the
    /// rest of its arguments in its place.
    #[track_caller]
    pub(crate) fn start_under(launcher: &[&str], flags: &[&str]) -> Self {
        Self::launch(geoloop(launcher), flags)
    }

    /// The same on a socket that listens already, handed over as a service manager does it (sd_listen_fds(3)).
    #[track_caller]
    pub(crate) fn start_on(listener: TcpListener, flags: &[&str]) -> Self {
        let hand_over = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
        let mut command = geoloop(&["sh", "-c", hand_over, "sh"]);
        command.stdin(OwnedFd::from(listener));
        Self::launch(command, flags)
    }

    #[track_caller]
    fn launch(mut command: Command, flags: &[&str]) -> Self {
        command.args(flags);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--workers", "2"), ("--drain-window", "1s")] {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let mut child = command.spawn().expect("the built server starts");
        let stderr = collect_stderr(&mut child);
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the server's stdout is text");
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            drop(child.kill());
            panic!(
                "{flags:?}: {line:?} does not say where it listens; stderr: {:?}",
                stderr.recv_timeout(PATIENCE)
            );
        };
        let address = address.trim_end_matches('/').parse().expect("an address behind `listening on`");
        Self { child, address, stdout, stderr: Mutex::new(stderr), agent: agent(), finished: false }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for signals.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The URL of a target such as `/location/cur/3`.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// A socket to it on which every read and write has a deadline.
    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).expect("the server accepts");
        with_deadlines(stream)
    }

    /// A socket to it whose kernel takes next to nothing that the test does not read.
    #[track_caller]
    pub(crate) fn connect_to_read_slowly(&self) -> TcpStream {
        self.connect_with_receive_buffer(4096)
    }

    /// A socket to it whose kernel takes as much as it may, should the test's thread not get to read for a while.
    #[track_caller]
    pub(crate) fn connect_to_keep_up(&self) -> TcpStream {
        self.connect_with_receive_buffer(4 << 20)
    }

    #[track_caller]
    fn connect_with_receive_buffer(&self, bytes: usize) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
        socket.set_recv_buffer_size(bytes).expect("a TCP socket");
        socket.connect(&self.address.into()).expect("the server accepts");
        with_deadlines(socket.into())
    }

    /// One request by ureq.
    #[track_caller]
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(target));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).expect("a request that ureq takes")),
            None => self.agent.run(request.body(()).expect("a request that ureq takes")),
        };
        match answer {
            Ok(answer) => Answer::of_ureq(answer),
            Err(error) => panic!("{method} {target}: {error}"),
        }
    }

    /// GET by ureq.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], None)
    }

    /// GET by ureq with headers.
    #[track_caller]
    pub(crate) fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", target, headers, None)
    }

    /// POST by ureq.
    #[track_caller]
    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.request("POST", target, &[("Content-Type", "application/json")], Some(body))
    }

    /// Publishes a member's location to a group over HTTP.
    #[track_caller]
    pub(crate) fn publish(&self, group: u64, member: &str, x: u64, y: u64) -> Update {
        let body = format!(r#"{{"member":"{member}","x":{x},"y":{y}}}"#);
        self.post(&format!("/location/share/{group}"), &body).expect_status(200).update()
    }

    /// What `/metrics` says now.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&self.get("/metrics").expect_status(200).text())
    }

    /// Checks how often each rule was run into so far; a reason that is not listed must not have been.
    #[track_caller]
    pub(crate) fn expect_refusals(&self, want: &[(&str, u64)]) {
        let scrape = self.scrape();
        let series = scrape.samples().iter().filter(|sample| sample.name == "geoloop_refused_total");
        let counted = series.map(|sample| (sample.labels["reason"].as_str(), sample.value as u64));
        let counted: BTreeMap<_, _> = counted.filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, want.iter().copied().collect(), "refusals by reason");
    }

    /// Waits until so many requests or streams of the transport are parked.
    #[track_caller]
    pub(crate) fn wait_until_parked(&self, transport: &str, count: u64) {
        self.wait_for_gauge("geoloop_parked", &[("transport", transport)], count);
    }

    /// Waits until so many connections have become this transport's and are open.
    #[track_caller]
    pub(crate) fn wait_until_connected(&self, transport: &str, count: u64) {
        self.wait_for_gauge("geoloop_connections", &[("transport", transport)], count);
    }

    /// Waits until a gauge, summed over its other labels, shows a number.
    #[track_caller]
    pub(crate) fn wait_for_gauge(&self, name: &str, labels: &[(&str, &str)], count: u64) {
        let mut seen = f64::NAN;
        let reached = wait_until(|| {
            seen = self.scrape().sum(name, labels);
            seen == count as f64
        });
        assert!(reached, "{name}{labels:?} is {seen}, not {count}");
    }

    /// Sends SIGTERM, which asks for a drain.
    #[track_caller]
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by name.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: a bare machine need not have the program.
        let kill = format!("kill -s {name} {}", self.process_id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("`sh` is there");
        assert!(status.success(), "{kill}: {status}");
    }

    /// Waits for the process to end by itself and checks that nothing in it panicked.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Exit {
        let exit = self.finish().expect("the server ends within ten seconds");
        assert!(!exit.stderr.contains("panicked at"), "the server panicked:\n{}", exit.stderr);
        exit
    }

    /// Drains it and checks that it ends with exit code 0 and without a panic.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.terminate();
        let exit = self.wait();
        assert_eq!(exit.code, Some(0), "exit code after SIGTERM; stderr:\n{}", exit.stderr);
    }

    /// Stderr ends when the process does: that is what has a deadline, `Child::wait` has none.
    fn finish(&mut self) -> Option<Exit> {
        let stderr = self.stderr.get_mut().ok()?.recv_timeout(PATIENCE).ok()?;
        self.finished = true;
        let status = self.child.wait().ok()?;
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).ok()?;
        Some(Exit { code: status.code(), stdout, stderr })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        drop(self.child.kill());
        let stderr = self.finish().map(|exit| exit.stderr).unwrap_or_default();
        if thread::panicking() {
            eprintln!("the server's stderr:\n{stderr}");
        } else {
            assert!(!stderr.contains("panicked at"), "the server panicked:\n{stderr}");
        }
    }
}

/// Runs the program to its end: for bad usage, and for failures to start.
#[track_caller]
pub(crate) fn run_to_end(arguments: &[&str]) -> Exit {
    run_under_to_end(&[], arguments)
}

/// The same, run by a command as [`Server::start_under`] says.
#[track_caller]
pub(crate) fn run_under_to_end(launcher: &[&str], arguments: &[&str]) -> Exit {
    let mut child = geoloop(launcher).args(arguments).spawn().expect("the built server starts");
    let stderr = collect_stderr(&mut child);
    let Ok(stderr) = stderr.recv_timeout(PATIENCE) else {
        drop(child.kill());
        panic!("{arguments:?}: does not end by itself");
    };
    let output = child.wait_with_output().expect("a child of ours");
    Exit { code: output.status.code(), stdout: String::from_utf8_lossy(&output.stdout).into_owned(), stderr }
}

/// Asks again and again, without sleeping, until it is so; false if it is not within [`PATIENCE`].
#[must_use]
pub(crate) fn wait_until(mut so: impl FnMut() -> bool) -> bool {
    let clock = Clock::start();
    loop {
        if so() {
            return true;
        }
        if Duration::from_millis(clock.now().tick.0) > PATIENCE {
            return false;
        }
        thread::yield_now();
    }
}

/// How long something took.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let clock = Clock::start();
    let value = work();
    (value, Duration::from_micros(clock.now().micros))
}

/// Gives every read and write of a socket a deadline.
#[track_caller]
pub(crate) fn with_deadlines(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline above zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("a deadline above zero");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Ends a connection as a crash or a cut line does: no goodbye, a reset, and whatever is unread is lost.
#[track_caller]
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    drop(stream);
}

/// The built program, shielded from whatever `GEOLOOP_*` the environment sets.
fn geoloop(launcher: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_geoloop");
    let mut words = launcher.iter().chain([&program]);
    let mut command = Command::new(words.next().expect("the program at least"));
    command.args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GEOLOOP_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads stderr on a thread, so that a full pipe never stops the server; what it held arrives when it ends.
fn collect_stderr(child: &mut Child) -> Receiver<String> {
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(stderr.read_to_end(&mut bytes));
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    let config = config.http_status_as_error(false).proxy(None).max_redirects(0);
    config.timeout_global(Some(Duration::from_secs(30))).build().into()
}
