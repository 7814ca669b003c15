//! What systemd and others do with a server: hand over the socket that it listens on, and be told how far it is.

mod harness;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use harness::audience::{Audience, Publisher, Way};
use harness::http::Wire;
use harness::sse::EventStream;
use harness::{PATIENCE, Server, run_under_to_end, wait_until, with_deadlines};

/// A socket that listens, and one more of the same that stays here, as a service manager keeps it.
#[track_caller]
fn listener() -> (TcpListener, TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let kept = listener.try_clone().expect("a descriptor is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, kept, address)
}

fn connect(address: SocketAddr) -> Wire {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the backlog has room");
    Wire::over(with_deadlines(stream))
}

// A socket that is handed over.

#[track_caller]
fn check_every_transport_is_served(workers: &str) {
    let (listener, _kept, address) = listener();
    let server = Server::start_on(listener, &["--workers", workers]);
    assert_eq!(server.address(), address, "it is where the socket is");
    // At home on every worker, wherever they were accepted.
    for group in 0..4 {
        let mut audience = Audience::gather(&server, group);
        for way in Way::ALL {
            Publisher::open(&server, way, group).publish("alice", 7);
            audience.hear(&server, 1);
        }
    }
    server.stop();
}

#[test]
fn every_transport_is_served_on_a_socket_that_was_handed_over() {
    check_every_transport_is_served("1");
    check_every_transport_is_served("2");
    check_every_transport_is_served("4");
}

#[test]
fn newcomers_of_a_socket_that_was_handed_over_are_dealt_to_all_workers() {
    let (listener, _kept, _) = listener();
    let server = Server::start_on(listener, &["--workers", "4"]);
    // Half a head stays where it came to.
    let halves = (0..12).map(|_| {
        let mut wire = Wire::connect(&server);
        wire.send("GET /healthz HT");
        wire
    });
    let mut halves: Vec<Wire> = halves.collect();
    for shard in ["0", "1", "2", "3"] {
        let holds = || server.scrape().sum("geoloop_held_bytes", &[("shard", shard)]) > 0.0;
        assert!(wait_until(holds), "worker {shard} has newcomers");
    }
    for half in &mut halves {
        half.send("TP/1.1\r\nHost: geoloop\r\n\r\n");
        half.answer().expect_status(200);
    }
    drop(halves);
    server.stop();
}

#[test]
fn newcomers_that_are_dealt_count_against_max_connections() {
    let (listener, _kept, _) = listener();
    let server = Server::start_on(listener, &["--workers", "2", "--max-connections", "3"]);
    let mut inside: Vec<Wire> = (0..3).map(|_| Wire::connect(&server)).collect();
    inside.iter_mut().for_each(Wire::expect_alive);
    let poll = || {
        let mut wire = Wire::connect(&server);
        wire.send_get("/location/cur/3");
        wire.answer()
    };
    let refused = poll().expect_status(503);
    refused.needed_header("Retry-After");
    inside.pop();
    assert!(wait_until(|| poll().status == 200), "a place that came free is taken");
    drop(inside);
    server.stop();
}

#[test]
fn who_comes_while_no_server_runs_is_served_by_the_next() {
    let (kept, _, address) = listener();
    for workers in ["1", "2"] {
        let mut early = connect(address);
        early.send_get("/healthz");
        let listener = kept.try_clone().expect("a descriptor is free");
        let server = Server::start_on(listener, &["--workers", workers]);
        early.answer().expect_status(200);
        server.publish(3, "alice", 1, 2);
        // It asks for a drain that somebody has to be told of.
        let stream = EventStream::open(&server, "/location/sse/3");
        server.stop();
        stream.rest();
    }
    // It is the socket kept here that lets them wait.
    connect(address);
    drop(kept);
    let is_refused = || TcpStream::connect_timeout(&address, PATIENCE).is_err();
    assert!(wait_until(is_refused), "nobody listens any more");
}

#[test]
fn what_is_handed_over_goes_over_listen() {
    let (listener, _kept, address) = listener();
    let server = Server::start_on(listener, &["--listen", "127.0.0.1:1"]);
    assert_eq!(server.address(), address);
    server.get("/healthz").expect_status(200);
    server.terminate();
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(exit.stderr.contains("--listen is not heeded"), "{}", exit.stderr);
    assert_eq!(exit.stdout, "", "it listens nowhere else");
}

#[test]
fn what_is_handed_to_another_process_is_left_alone() {
    let server = Server::start_under(&["env", "LISTEN_FDS=1", "LISTEN_PID=1"], &[]);
    server.get("/healthz").expect_status(200);
    server.stop();
}

/// What the third descriptor is made from, and what the one line says that the server ends with.
#[track_caller]
fn check_is_not_listened_on(descriptor: &str, told: &str) {
    let hand_over = format!("exec 3{descriptor}; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"");
    let exit = run_under_to_end(&["sh", "-c", &hand_over, "sh"], &[]);
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert_eq!(exit.stderr.lines().count(), 1, "{}", exit.stderr);
    assert!(exit.stderr.contains("LISTEN_FDS") && exit.stderr.contains(told), "{}", exit.stderr);
}

#[test]
fn what_is_no_socket_is_one_line_and_exit_code_1() {
    check_is_not_listened_on("</dev/null", "fd 3 is not a socket");
    check_is_not_listened_on("<&-", "fd 3 is not a socket");
}

#[test]
fn count_of_sockets_that_is_none_is_one_line_and_exit_code_1() {
    for count in ["2147483647", "-1", "three", ""] {
        let launcher = format!("export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$@\"");
        let exit = run_under_to_end(&["sh", "-c", &launcher, "sh"], &[]);
        assert_eq!(exit.code, Some(1), "{count:?}: {}", exit.stderr);
        assert_eq!(exit.stderr.lines().count(), 1, "{}", exit.stderr);
        assert!(
            exit.stderr.contains("LISTEN_FDS") && exit.stderr.contains("at most 1024"),
            "{}",
            exit.stderr
        );
    }
}

// What a service manager is told.

/// A service manager's ear.
struct Ear {
    socket: UnixDatagram,
    path: Option<PathBuf>,
}

impl Ear {
    /// One with a name in the file system, and that name.
    #[track_caller]
    fn open() -> (Self, String) {
        static EARS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = EARS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("geoloop-notify-{}-{number}", std::process::id()));
        let socket = UnixDatagram::bind(&path).expect("the temporary folder takes a socket");
        let name = path.to_str().expect("a temporary path is UTF-8").to_owned();
        (Self::over(socket, Some(path)), name)
    }

    #[track_caller]
    fn over(socket: UnixDatagram, path: Option<PathBuf>) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a deadline above zero");
        Self { socket, path }
    }

    /// The next message, by lines.
    #[track_caller]
    fn hear(&self) -> Vec<String> {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("a message within ten seconds");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }

    /// Checks that nothing more was said.
    #[track_caller]
    fn expect_silence(&self) {
        self.socket.set_nonblocking(true).expect("a socket of ours");
        let heard = self.socket.recv(&mut [0; 1024]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::WouldBlock));
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Starts a server that is to speak to this name.
#[track_caller]
fn start_speaking_to(name: &str, flags: &[&str]) -> Server {
    Server::start_under(&["env", &format!("NOTIFY_SOCKET={name}")], flags)
}

/// The whole life of a server, as its manager hears it.
#[track_caller]
fn check_is_told(ear: &Ear, name: &str) {
    let server = start_speaking_to(name, &["--drain-window", "20s"]);
    assert_eq!(ear.hear(), ["READY=1"]);
    // No client that keeps its connection, which a drain would wait for.
    Wire::connect(&server).expect_alive();
    let stream = EventStream::open(&server, "/location/sse/3");
    ear.expect_silence();
    ear.socket.set_nonblocking(false).expect("a socket of ours");

    server.terminate();
    assert_eq!(ear.hear(), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=25000000"], "the window and some more");
    // Somebody is still there, or has just been told to go.
    drop(stream);
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    ear.expect_silence();
}

#[test]
fn service_manager_is_told_when_it_serves_and_when_it_stops() {
    let (ear, name) = Ear::open();
    check_is_told(&ear, &name);
}

#[test]
#[cfg(target_os = "linux")]
fn service_manager_without_a_file_is_told_too() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    let name = format!("geoloop-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let ear = Ear::over(UnixDatagram::bind_addr(&address).expect("a name of ours"), None);
    check_is_told(&ear, &format!("@{name}"));
}

#[test]
fn service_manager_is_told_once_of_two_signals() {
    let (ear, name) = Ear::open();
    let server = start_speaking_to(&name, &["--drain-window", "20s"]);
    ear.hear();
    let _streams: Vec<_> = (0..20).map(|_| EventStream::open(&server, "/location/sse/3")).collect();
    server.terminate();
    ear.hear();
    server.terminate();
    server.wait();
    ear.expect_silence();
}

#[test]
fn server_serves_and_stops_though_nobody_hears_it() {
    let server = start_speaking_to("/no/such/folder/socket", &[]);
    server.get("/healthz").expect_status(200);
    server.terminate();
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let told: Vec<_> = exit.stderr.lines().filter(|line| line.contains("/no/such/folder/socket")).collect();
    assert_eq!(told.len(), 2, "READY=1 and STOPPING=1: {}", exit.stderr);
}

#[test]
fn server_serves_and_stops_though_its_manager_takes_nothing_in() {
    let (ear, name) = Ear::open();
    // Until what waits for the manager is as much as the kernel keeps.
    let filler = UnixDatagram::unbound().expect("a descriptor is free");
    filler.set_nonblocking(true).expect("a socket of ours");
    let refused = (0..10_000).find_map(|_| filler.send_to(b"BUSY", &name).err());
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    let server = start_speaking_to(&name, &[]);
    server.get("/healthz").expect_status(200);
    server.terminate();
    let exit = server.wait();
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let untold = exit.stderr.lines().filter(|line| line.contains("is not told")).count();
    assert_eq!(untold, 2, "READY=1 and STOPPING=1: {}", exit.stderr);
    drop(ear);
}
