//! What Linux tells of a process and its sockets under /proc.

use std::fs;
use std::net::SocketAddr;

/// Clock ticks of /proc/PID/stat a second: USER_HZ, 100 on every architecture that Linux serves on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// VmRSS in bytes.
    #[track_caller]
    pub(crate) fn resident_bytes(self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is told");
        let kilobytes = line.trim().strip_suffix(" kB").expect("in kB").trim();
        1024 * kilobytes.parse::<u64>().expect("a number")
    }

    /// User and system time so far, in seconds.
    #[track_caller]
    pub(crate) fn cpu_seconds(self) -> f64 {
        let stat = self.read("stat");
        // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th behind it.
        let (_, behind) = stat.rsplit_once(") ").expect("a name in parentheses");
        let fields = behind.split(' ').skip(11).take(2);
        fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS_PER_SECOND
    }

    /// Open descriptors.
    #[track_caller]
    pub(crate) fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).expect("a process of ours").count()
    }

    #[track_caller]
    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).expect("the process runs")
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
