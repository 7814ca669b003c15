//! What Linux tells of a process, of who listens and of sockets' memory under /proc.
//!
//! Reading is all that it does: nothing here needs more rights than being the same user, and what cannot be read is
//! `None`, never a zero.
//!
//! Whose CPU is whose: on loopback the kernel's receiving half (softirq, up to the queue of the receiving socket) runs
//! inside the sender's system call and is charged to the sender. So a server's CPU here holds what its clients' kernel
//! does with what it sends, and does not hold what its own kernel does with what they send; over a network card it
//! is the other way around, and partly charged to nobody.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::time::{ClockId, clock_gettime};

/// What /proc/PID/stat counts CPU time in: USER_HZ, 100 a second on every architecture that Rust runs Linux on but
/// Alpha, and part of the kernel's promise to programs (proc_pid_stat(5), utime).
const MICROS_PER_TICK: f64 = 10_000.0;

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// CPU time of all its threads so far, in microseconds.
    ///
    /// The scheduler counts nanoseconds for each thread that lives; /proc/PID/stat counts those that ended too, but in
    /// ticks rounded down. Neither is ever too much, so the larger of them is the better.
    #[must_use]
    pub fn cpu_micros(self) -> Option<f64> {
        let ticks = self.read("stat").and_then(|stat| cpu_ticks(&stat));
        let ticks = ticks.map(|ticks| ticks as f64 * MICROS_PER_TICK);
        let threads = self.schedstat(0);
        match (threads, ticks) {
            (Some(threads), Some(ticks)) => Some(f64::max(threads, ticks)),
            (one, other) => one.or(other),
        }
    }

    /// How long its threads were ready to run while others had the core, in microseconds.
    ///
    /// On a machine that does something else besides it is this that latencies are made of.
    #[must_use]
    pub fn waited_micros(self) -> Option<f64> {
        self.schedstat(1)
    }

    /// Memory that it has resident now, to the page: the kernel counts them one by one, some 15 ms for a gigabyte. Where that cannot be read, [`Process::resident_bytes`].
    #[must_use]
    pub fn resident_bytes_counted(self) -> Option<u64> {
        let counted = self.read("smaps_rollup").and_then(|rollup| kilobytes(&rollup, "Rss"));
        counted.or_else(|| self.resident_bytes())
    }

    /// Memory that it has resident now: cheap, and with many kernels some pages behind for each of its threads
    /// (proc_pid_status(5), VmRSS).
    #[must_use]
    pub fn resident_bytes(self) -> Option<u64> {
        self.read("status").and_then(|status| kilobytes(&status, "VmRSS"))
    }

    /// The most memory that it ever had resident.
    #[must_use]
    pub fn resident_bytes_ever(self) -> Option<u64> {
        self.read("status").and_then(|status| kilobytes(&status, "VmHWM"))
    }

    /// Open descriptors.
    #[must_use]
    pub fn descriptors(self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.0)).ok()?.count())
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(self) -> bool {
        self.read("stat").is_some()
    }

    /// The sum over its threads of a number of nanoseconds, in microseconds; the kernel may be built without them.
    fn schedstat(self, field: usize) -> Option<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        // A thread that ended since the folder was listed has no file any more.
        let told = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        let nanos = told.map(|told| told.split_ascii_whitespace().nth(field)?.parse::<f64>().ok());
        let nanos: Vec<_> = nanos.collect::<Option<_>>()?;
        (!nanos.is_empty()).then(|| nanos.iter().sum::<f64>() / 1000.0)
    }

    fn read(self, file: &str) -> Option<String> {
        // Not UTF-8 throughout: a process may name itself as it likes.
        let bytes = fs::read(format!("/proc/{}/{file}", self.0)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// CPU time of this process so far, in microseconds, to the nanosecond: all threads, those that ended too.
#[must_use]
pub fn own_cpu_micros() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3
}

/// The process that listens at an address of this machine; `None` if it is another machine's, of another user, or held
/// by several processes.
///
/// A socket that listens at every address is taken for the one at a loopback address only: any other address may
/// be another machine's.
#[must_use]
pub fn find_listener(address: SocketAddr) -> Option<u32> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening: Vec<_> = tables.iter().flat_map(|table| table.lines().filter_map(listening)).collect();
    let inodes = inodes_at(address, &listening);
    if inodes.is_empty() {
        return None;
    }
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut holders = pids.filter(|pid| holds_socket(*pid, &inodes));
    let holder = holders.next()?;
    holders.next().is_none().then_some(holder)
}

/// Memory of the kernel that sockets are made of: all of its slab (descriptors, sockets, epoll entries, and whatever
/// else the machine does) and the pages of TCP's buffers.
///
/// Only a difference over a time in which nothing else happened says something, and where both ends are on this
/// machine it is of both.
#[must_use]
pub fn kernel_socket_bytes() -> Option<u64> {
    let slab = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "Slab")?;
    let pages = tcp_pages(&fs::read_to_string("/proc/net/sockstat").ok()?)?;
    Some(slab + pages * rustix::param::page_size() as u64)
}

/// Fields 14 and 15, utime and stime. Field 2 is the program's name in parentheses and may hold both blanks and
/// parentheses, so counting starts behind the last one, at field 3.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(14 - 3);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

/// A line such as `VmRSS: 1234 kB`, with blanks before the number, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes: u64 = lines.next()?.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

/// `mem` of the line `TCP: inuse 7 orphan 0 tw 2 alloc 9 mem 1`.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

/// Where a socket of /proc/net/tcp listens, and its inode; `None` for a line that is of none that does.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (host, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(host_of(host)?, port), inode))
}

/// An address is words of 32 bits in hexadecimal; each is in the order of the network in memory and was printed as the
/// machine's own number.
fn host_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(digits.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if digits.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&word(8 * at)?);
    }
    Some(IpAddr::from(bytes).to_canonical())
}

/// The sockets that a connect to `address` may end at: those at that very address, else those at every address.
fn inodes_at(address: SocketAddr, listening: &[(SocketAddr, u64)]) -> BTreeSet<u64> {
    let host = address.ip().to_canonical();
    let of = |is_it: &dyn Fn(IpAddr) -> bool| -> BTreeSet<u64> {
        let there = listening.iter().filter(|(at, _)| at.port() == address.port() && is_it(at.ip()));
        there.map(|(_, inode)| *inode).collect()
    };
    let exact = of(&|at| at == host);
    // Connecting to 0.0.0.0 is connecting to this machine.
    if !exact.is_empty() || !(host.is_loopback() || host.is_unspecified()) {
        return exact;
    }
    of(&|at| at.is_unspecified() && (host.is_ipv4() || at.is_ipv6()))
}

fn holds_socket(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[track_caller]
    fn check_listening(line: &str, want: Option<(&str, u64)>) {
        let want = want.map(|(address, inode)| (address.parse().unwrap(), inode));
        assert_eq!(listening(line), want, "{line}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn listeners_are_read_from_the_table() {
        let rest =
            "00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0";
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        check_listening(head, None);
        check_listening(
            &format!("   0: 0100007F:1F90 00000000:0000 0A {rest}"),
            Some(("127.0.0.1:8080", 4242)),
        );
        check_listening(&format!("   0: 0100007F:1F90 0100007F:D431 01 {rest}"), None);
        let nowhere = "00000000000000000000000000000000";
        check_listening(
            &format!("   1: 00000000000000000000000001000000:0050 {nowhere}:0000 0A {rest}"),
            Some(("[::1]:80", 4242)),
        );
        check_listening(
            &format!("   2: 0000000000000000FFFF00000100007F:0050 {nowhere}:0000 0A {rest}"),
            Some(("127.0.0.1:80", 4242)),
        );
        check_listening("   3: 0100007F:1F90", None);
        check_listening(&format!("   3: 0100:1F90 00000000:0000 0A {rest}"), None);
    }

    #[track_caller]
    fn check_at(address: &str, want: &[u64]) {
        let listening = [
            ("127.0.0.1:80", 1),
            ("0.0.0.0:80", 2),
            ("0.0.0.0:81", 3),
            ("[::]:82", 4),
            ("10.0.0.5:83", 5),
            ("0.0.0.0:84", 6),
            ("0.0.0.0:84", 7),
        ];
        let listening = listening.map(|(address, inode)| (address.parse().unwrap(), inode));
        let found = inodes_at(address.parse().unwrap(), &listening);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), want, "{address}");
    }

    #[test]
    fn listener_at_the_very_address_goes_before_one_at_all() {
        check_at("127.0.0.1:80", &[1]);
        check_at("127.0.0.2:80", &[2]);
        check_at("127.0.0.1:81", &[3]);
        check_at("0.0.0.0:81", &[3]);
        check_at("[::1]:81", &[]);
        check_at("127.0.0.1:82", &[4]);
        check_at("[::1]:82", &[4]);
        check_at("10.0.0.5:83", &[5]);
        check_at("127.0.0.1:84", &[6, 7]);
    }

    #[test]
    fn another_machine_is_not_taken_for_this_one() {
        check_at("10.0.0.5:81", &[]);
        check_at("10.0.0.6:83", &[]);
        check_at("127.0.0.1:85", &[]);
    }

    #[test]
    fn ticks_are_counted_behind_a_name_with_blanks_and_parentheses() {
        let fields = "S 1 1 1 0 -1 4194560 21 0 0 0 7 5 0 0 20 0 3 0 900 1 2";
        assert_eq!(cpu_ticks(&format!("42 (geo (loop) x) {fields}")), Some(12));
        assert_eq!(cpu_ticks("42 (geoloop) S 1"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn kilobytes_are_bytes() {
        let status = "Name:\tVmRSS: 1 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kilobytes(status, "VmRSS"), Some(1 << 20));
        assert_eq!(kilobytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(kilobytes(status, "Vm"), None);
        assert_eq!(kilobytes("VmRSS: many kB", "VmRSS"), None);
        let rollup =
            "55ae52fb8000-7ffc4b3ff000 ---p 00000000 00:00 0    [rollup]\nRss:      4 kB\nPss:   1 kB\n";
        assert_eq!(kilobytes(rollup, "Rss"), Some(4096));
    }

    #[test]
    fn pages_of_tcp_are_read() {
        let sockstat = "sockets: used 9\nTCP: inuse 7 orphan 0 tw 2 alloc 9 mem 31\nUDP: inuse 1 mem 5\n";
        assert_eq!(tcp_pages(sockstat), Some(31));
        assert_eq!(tcp_pages("sockets: used 9\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_told_of() {
        let own = Process::own();
        assert!(own.is_there());
        let (before, exact_before) = (own.cpu_micros().unwrap(), own_cpu_micros());
        let mut work: u64 = 0;
        while own_cpu_micros() - exact_before < 50_000.0 {
            work = std::hint::black_box(work + 1);
        }
        // The scheduler adds up at its ticks, four milliseconds apart or less on machines that serve.
        assert!(own.cpu_micros().unwrap() - before >= 30_000.0, "50 ms of work were not seen");
        let resident = own.resident_bytes().unwrap();
        assert!(resident > 100_000, "{resident}");
        assert!(own.resident_bytes_ever().unwrap() >= resident);
        // Other tests come and go in this process: they are of one size, not equal.
        let counted = own.resident_bytes_counted().unwrap();
        assert!((resident / 2..2 * resident).contains(&counted), "{counted}, {resident}");
        assert!(own.descriptors().unwrap() >= 3);
        assert!(kernel_socket_bytes().unwrap() > 100_000);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_there_is_no_zero() {
        // Above the largest number that Linux gives a process.
        let nobody = Process(u32::MAX);
        assert!(!nobody.is_there());
        assert_eq!(nobody.cpu_micros(), None);
        assert_eq!(nobody.waited_micros(), None);
        assert_eq!(nobody.resident_bytes(), None);
        assert_eq!(nobody.resident_bytes_counted(), None);
        assert_eq!(nobody.descriptors(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn own_listeners_are_found() {
        for host in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let address = listener.local_addr().unwrap();
            assert_eq!(find_listener(address), Some(std::process::id()), "{address}");
            drop(listener);
            assert_ne!(find_listener(address), Some(std::process::id()), "{address}: it is closed");
        }
    }
}
