//! What Linux tells of a process and its sockets under /proc.

use std::fs;
use std::net::SocketAddr;

use geoloop::load::process;

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Resident memory in bytes.
    #[track_caller]
    pub(crate) fn resident_bytes(self) -> u64 {
        process::Process(self.0).resident_bytes().expect("the process runs")
    }

    /// User and system time so far, in seconds.
    #[track_caller]
    pub(crate) fn cpu_seconds(self) -> f64 {
        process::Process(self.0).cpu_micros().expect("the process runs") / 1e6
    }

    /// How long its threads were ready to run and others had the core, in seconds; not a number where Linux does not tell.
    pub(crate) fn waited_seconds(self) -> f64 {
        process::Process(self.0).waited_micros().map_or(f64::NAN, |micros| micros / 1e6)
    }

    /// Open descriptors.
    #[track_caller]
    pub(crate) fn descriptors(self) -> usize {
        process::Process(self.0).descriptors().expect("a process of ours")
    }
}

/// What the machine and the server did during one run, to judge its latencies by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    server: Process,
    began_micros: u64,
    cpu_seconds: f64,
    server_waited: f64,
    clients_waited: f64,
}

impl Effort {
    pub(crate) fn begin(server: Process, now_micros: u64) -> Self {
        Self {
            server,
            began_micros: now_micros,
            cpu_seconds: server.cpu_seconds(),
            server_waited: server.waited_seconds(),
            clients_waited: Process(std::process::id()).waited_seconds(),
        }
    }

    /// The server's CPU time so far, in per cent of a core.
    fn cpu_percent(self, now_micros: u64) -> f64 {
        100.0 * (self.server.cpu_seconds() - self.cpu_seconds) / self.seconds(now_micros)
    }

    /// What it was so far, as a table has it.
    pub(crate) fn row(self, now_micros: u64) -> String {
        let share = |waited: f64| 100.0 * waited / self.seconds(now_micros);
        let server = share(self.server.waited_seconds() - self.server_waited);
        let clients = share(Process(std::process::id()).waited_seconds() - self.clients_waited);
        let cpu = self.cpu_percent(now_micros);
        format!(
            "{cpu:.1} % of a core; waited for one: server {server:.1} %, clients {clients:.1} % of the time"
        )
    }

    pub(crate) fn seconds(self, now_micros: u64) -> f64 {
        (now_micros - self.began_micros) as f64 / 1e6
    }
}

/// Bytes that wait in the kernel on connections of a server: sent or to be sent and not acknowledged, and received by
/// its clients and not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelQueues {
    /// The longest queue on the server's side.
    pub(crate) send_bytes_max: u64,
    /// The longest queue on a client's side.
    pub(crate) receive_bytes_max: u64,
}

impl KernelQueues {
    /// Looks at all connections to a server on 127.0.0.1.
    pub(crate) fn of(server: SocketAddr) -> Self {
        let table = fs::read_to_string("/proc/net/tcp").expect("Linux has the table");
        let port = format!(":{:04X}", server.port());
        let mut queues = Self::default();
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let (local, remote) = (fields[1], fields[2]);
            let (send, receive) = fields[4].split_once(':').expect("tx_queue:rx_queue");
            let bytes = |hex| u64::from_str_radix(hex, 16).expect("a hexadecimal number");
            if local.ends_with(&port) {
                queues.send_bytes_max = queues.send_bytes_max.max(bytes(send));
            } else if remote.ends_with(&port) {
                queues.receive_bytes_max = queues.receive_bytes_max.max(bytes(receive));
            }
        }
        queues
    }
}
