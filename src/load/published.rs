//! What the study that is re-played published, and what came of running it again: figures to lay a run's beside.
//!
//! Published are k6's summaries of 1,000, 5,000 and 10,000 users, of one server on one machine, rounded as k6 rounds. SSE
//! has none: k6 cannot read a stream. Re-measured are the same server and script at 10,000 users, the server on one
//! core and k6 1.8 on the other. Times are microseconds, data is bytes, rates are a second.

use super::figures::LatencySummary;
use crate::ids::Transport;

/// A count, and how many of it a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// In all.
    pub total: u64,
    /// A second, over the whole run and its end.
    pub per_second: f64,
}

/// How much of it was so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// As k6 printed it, in per cent.
    pub percent: f64,
    /// How often it was.
    pub yes: u64,
    /// How often not.
    pub no: u64,
}

/// Times as k6 prints them, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Mean.
    pub avg_us: f64,
    /// Shortest.
    pub min_us: f64,
    /// Median.
    pub med_us: f64,
    /// Longest.
    pub max_us: f64,
    /// Nine of ten did not pass this.
    pub p90_us: f64,
    /// Nineteen of twenty did not pass this.
    pub p95_us: f64,
}

impl Share {
    /// Of so many that were so and so many that were not.
    #[must_use]
    pub fn of(yes: u64, no: u64) -> Self {
        Self { percent: 100.0 * yes as f64 / (yes + no).max(1) as f64, yes, no }
    }
}

impl Times {
    /// What k6 would print of these.
    #[must_use]
    pub fn of(summary: LatencySummary) -> Self {
        Self {
            avg_us: summary.mean_us,
            min_us: summary.min_us as f64,
            med_us: summary.p50_us as f64,
            max_us: summary.max_us as f64,
            p90_us: summary.p90_us as f64,
            p95_us: summary.p95_us as f64,
        }
    }
}

/// One of the published summaries; `None` is what k6 did not print.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is k6's metric of that name")]
pub struct Published {
    pub users: usize,
    pub checks: Option<Share>,
    pub data_received: Option<Count>,
    pub data_sent: Option<Count>,
    pub http_req_connecting: Option<Times>,
    pub http_req_duration: Option<Times>,
    pub http_req_failed: Option<Share>,
    pub http_reqs: Option<Count>,
    pub iteration_duration: Option<Times>,
    pub iterations: Option<Count>,
    pub ws_connecting: Option<Times>,
    pub ws_msgs_received: Option<Count>,
    pub ws_msgs_sent: Option<Count>,
    pub ws_session_duration: Option<Times>,
    pub ws_sessions: Option<Count>,
}

/// What running the study's server and script again gave, with the server's side of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remeasured {
    /// Users.
    pub users: usize,
    /// HTTP requests a second, or WebSocket messages received a second.
    pub per_second: f64,
    /// WebSocket messages that were sent.
    pub ws_msgs_sent: Option<u64>,
    /// HTTP requests that failed, in per cent.
    pub failed_percent: Option<f64>,
    /// Mean time of a request, or of a WebSocket's connecting.
    pub avg_us: f64,
    /// Its 90th percentile.
    pub p90_us: Option<f64>,
    /// Its 95th percentile.
    pub p95_us: Option<f64>,
    /// CPU time of the server.
    pub server_cpu_seconds: f64,
    /// The most memory of the server that was resident.
    pub server_resident_bytes: u64,
}

/// What the study published of a transport at this number of users.
#[must_use]
pub fn published(transport: Transport, users: usize) -> Option<&'static Published> {
    let of_transport: &'static [Published; 3] = match transport {
        Transport::ShortPoll => &[SHORT_POLL_1000, SHORT_POLL_5000, SHORT_POLL_10000],
        Transport::LongPoll => &[LONG_POLL_1000, LONG_POLL_5000, LONG_POLL_10000],
        Transport::WebSocket => &[WEBSOCKET_1000, WEBSOCKET_5000, WEBSOCKET_10000],
        Transport::Stomp => &[STOMP_1000, STOMP_5000, STOMP_10000],
        Transport::Http | Transport::Sse => return None,
    };
    of_transport.iter().find(|published| published.users == users)
}

/// What running it again gave at this number of users; for short polls with the address that its server has.
#[must_use]
pub fn remeasured(transport: Transport, users: usize) -> Option<&'static Remeasured> {
    let remeasured: &'static Remeasured = match transport {
        Transport::ShortPoll => &SHORT_POLL_AGAIN,
        Transport::LongPoll => &LONG_POLL_AGAIN,
        Transport::Sse => &SSE_AGAIN,
        Transport::WebSocket => &WEBSOCKET_AGAIN,
        Transport::Stomp => &STOMP_AGAIN,
        Transport::Http => return None,
    };
    (remeasured.users == users).then_some(remeasured)
}

/// What a reader ought to know of the study's figures before comparing; empty if there is nothing.
#[must_use]
pub fn caveat(transport: Transport, users: usize) -> &'static str {
    match transport {
        Transport::ShortPoll => {
            "all published answers are 404s: the script asked for an address that its server did not have; re-measured \
             with the right one"
        }
        Transport::LongPoll => {
            "the study's server refused deliveries (406) and its timeouts counted as successes"
        }
        Transport::Sse => {
            "nothing was published; when re-measured, half the checks failed: 204 where the script wants 200"
        }
        Transport::WebSocket if users >= 10_000 => {
            "the study's server drew a new random group for every message, so what arrived where was arbitrary; over a \
             tenth of its connects ended at k6's timeout: it holds 8,192 connections"
        }
        Transport::WebSocket => {
            "the study's server drew a new random group for every message, so what arrived where was arbitrary"
        }
        Transport::Stomp if users >= 10_000 => {
            "over a tenth of the study's connects ended at k6's timeout: its server holds 8,192 connections"
        }
        Transport::Stomp | Transport::Http => "",
    }
}

/// Short polls as the script has them, to the address that is not there; nothing to be compared with, all were 404.
pub const SHORT_POLL_AS_WRITTEN_AGAIN: Remeasured = Remeasured {
    per_second: 757.0,
    failed_percent: Some(100.0),
    avg_us: 494_000.0,
    p95_us: Some(1_530_000.0),
    server_cpu_seconds: 43.0,
    server_resident_bytes: 482_000_000,
    ..NOTHING_AGAIN
};

const SHORT_POLL_AGAIN: Remeasured = Remeasured {
    per_second: 861.0,
    failed_percent: Some(2.4),
    avg_us: 71_000.0,
    p95_us: Some(501_000.0),
    server_cpu_seconds: 25.0,
    server_resident_bytes: 466_000_000,
    ..NOTHING_AGAIN
};

const LONG_POLL_AGAIN: Remeasured = Remeasured {
    per_second: 849.0,
    failed_percent: Some(34.7),
    avg_us: 2_430_000.0,
    p95_us: Some(4_760_000.0),
    server_cpu_seconds: 45.0,
    server_resident_bytes: 1_452_000_000,
    ..NOTHING_AGAIN
};

const SSE_AGAIN: Remeasured = Remeasured {
    per_second: 1_401.0,
    failed_percent: Some(1.5),
    avg_us: 328_000.0,
    p95_us: Some(1_170_000.0),
    server_cpu_seconds: 37.0,
    server_resident_bytes: 489_000_000,
    ..NOTHING_AGAIN
};

const WEBSOCKET_AGAIN: Remeasured = Remeasured {
    per_second: 28_073.0,
    ws_msgs_sent: Some(8_880),
    avg_us: 11_300_000.0,
    p90_us: Some(30_000_000.0),
    server_cpu_seconds: 73.0,
    server_resident_bytes: 1_141_000_000,
    ..NOTHING_AGAIN
};

const STOMP_AGAIN: Remeasured = Remeasured {
    per_second: 21_441.0,
    ws_msgs_sent: Some(24_576),
    avg_us: 5_400_000.0,
    p90_us: Some(30_000_000.0),
    server_cpu_seconds: 73.0,
    server_resident_bytes: 3_645_000_000,
    ..NOTHING_AGAIN
};

const NOTHING_AGAIN: Remeasured = Remeasured {
    users: 10_000,
    per_second: 0.0,
    ws_msgs_sent: None,
    failed_percent: None,
    avg_us: 0.0,
    p90_us: None,
    p95_us: None,
    server_cpu_seconds: 0.0,
    server_resident_bytes: 0,
};

const NOTHING: Published = Published {
    users: 0,
    checks: None,
    data_received: None,
    data_sent: None,
    http_req_connecting: None,
    http_req_duration: None,
    http_req_failed: None,
    http_reqs: None,
    iteration_duration: None,
    iterations: None,
    ws_connecting: None,
    ws_msgs_received: None,
    ws_msgs_sent: None,
    ws_session_duration: None,
    ws_sessions: None,
};

const fn count(total: u64, per_second: f64) -> Option<Count> {
    Some(Count { total, per_second })
}

const fn data(bytes: u64, per_second: f64) -> Option<Count> {
    count(bytes, per_second)
}

const fn share(percent: f64, yes: u64, no: u64) -> Option<Share> {
    Some(Share { percent, yes, no })
}

/// In k6's order.
const fn times([avg_us, min_us, med_us, max_us, p90_us, p95_us]: [f64; 6]) -> Option<Times> {
    Some(Times { avg_us, min_us, med_us, max_us, p90_us, p95_us })
}

const SHORT_POLL_1000: Published = Published {
    users: 1_000,
    data_received: data(3_000_000, 48_000.0),
    data_sent: data(822_000, 13_000.0),
    http_req_connecting: times([46.11, 0.0, 0.0, 6_850.0, 207.3, 428.14]),
    http_req_duration: times([2_420.0, 441.0, 1_510.0, 24_750.0, 5_090.0, 7_150.0]),
    http_req_failed: share(100.00, 9_658, 0),
    http_reqs: count(9_658, 154.226693),
    iteration_duration: times([3_000_000.0, 3_000_000.0, 3_000_000.0, 3_020_000.0, 3_000_000.0, 3_000_000.0]),
    iterations: count(9_658, 154.226693),
    ..NOTHING
};

const SHORT_POLL_5000: Published = Published {
    users: 5_000,
    data_received: data(12_000_000, 187_000.0),
    data_sent: data(3_300_000, 52_000.0),
    http_req_connecting: times([46.79, 0.0, 0.0, 47_810.0, 191.0, 284.0]),
    http_req_duration: times([8_010.0, 418.0, 1_070.0, 299_640.0, 14_780.0, 42_130.0]),
    http_req_failed: share(100.00, 38_255, 0),
    http_reqs: count(38_255, 607.681958),
    iteration_duration: times([3_000_000.0, 3_000_000.0, 3_000_000.0, 3_290_000.0, 3_010_000.0, 3_040_000.0]),
    iterations: count(38_255, 607.681958),
    ..NOTHING
};

const SHORT_POLL_10000: Published = Published {
    users: 10_000,
    data_received: data(19_000_000, 237_000.0),
    data_sent: data(5_500_000, 67_000.0),
    http_req_connecting: times([36.13, 0.0, 0.0, 16_300.0, 142.0, 214.0]),
    http_req_duration: times([422_630.0, 392.0, 43_500.0, 3_600_000.0, 1_470_000.0, 1_940_000.0]),
    http_req_failed: share(100.00, 63_081, 0),
    http_reqs: count(63_081, 770.071737),
    iteration_duration: times([3_420_000.0, 3_000_000.0, 3_040_000.0, 6_600_000.0, 4_470_000.0, 4_940_000.0]),
    iterations: count(63_081, 770.071737),
    ..NOTHING
};

const LONG_POLL_1000: Published = Published {
    users: 1_000,
    checks: share(88.82, 5_873, 739),
    data_received: data(814_000, 9_700.0),
    data_sent: data(748_000, 8_900.0),
    http_req_connecting: times([77.43, 0.0, 0.0, 8_140.0, 374.0, 566.0]),
    http_req_duration: times([4_910_000.0, 380.0, 5_210_000.0, 11_140_000.0, 10_960_000.0, 10_980_000.0]),
    http_req_failed: share(11.17, 739, 5_873),
    http_reqs: count(6_612, 78.426891),
    iteration_duration: times([
        17_740_000.0,
        3_010_000.0,
        21_840_000.0,
        25_040_000.0,
        22_960_000.0,
        24_260_000.0,
    ]),
    iterations: count(2_204, 26.142297),
    ..NOTHING
};

const LONG_POLL_5000: Published = Published {
    users: 5_000,
    checks: share(89.09, 25_863, 3_165),
    data_received: data(3_600_000, 43_000.0),
    data_sent: data(3_300_000, 40_000.0),
    http_req_connecting: times([76.03, 0.0, 0.0, 119_760.0, 279.0, 397.0]),
    http_req_duration: times([4_730_000.0, 373.0, 3_560_000.0, 11_440_000.0, 10_750_000.0, 10_900_000.0]),
    http_req_failed: share(10.90, 3_165, 25_863),
    http_reqs: count(29_028, 349.110016),
    iteration_duration: times([
        17_190_000.0,
        3_000_000.0,
        21_790_000.0,
        25_160_000.0,
        22_510_000.0,
        24_320_000.0,
    ]),
    iterations: count(9_676, 116.370005),
    ..NOTHING
};

const LONG_POLL_10000: Published = Published {
    users: 10_000,
    checks: share(66.96, 38_419, 18_949),
    data_received: data(6_900_000, 78_000.0),
    data_sent: data(6_700_000, 75_000.0),
    http_req_connecting: times([56.52, 0.0, 0.0, 97_540.0, 203.0, 283.0]),
    http_req_duration: times([3_320_000.0, 402.0, 3_080_000.0, 13_360_000.0, 5_670_000.0, 8_060_000.0]),
    http_req_failed: share(33.03, 18_949, 38_419),
    http_reqs: count(57_368, 643.211303),
    iteration_duration: times([
        12_960_000.0,
        3_010_000.0,
        13_080_000.0,
        25_480_000.0,
        17_070_000.0,
        19_920_000.0,
    ]),
    iterations: count(19_122, 214.396293),
    ..NOTHING
};

const WEBSOCKET_1000: Published = Published {
    users: 1_000,
    data_received: data(2_500_000, 28_000.0),
    data_sent: data(233_000, 2_600.0),
    ws_connecting: times([4_380.0, 904.5, 3_540.0, 111_040.0, 7_520.0, 8_590.0]),
    ws_msgs_received: count(50_083, 556.458673),
    ws_msgs_sent: count(1_000, 11.11073),
    ws_sessions: count(1_000, 11.11073),
    ..NOTHING
};

const WEBSOCKET_5000: Published = Published {
    users: 5_000,
    data_received: data(66_000_000, 734_000.0),
    data_sent: data(1_300_000, 15_000.0),
    iteration_duration: times([
        16_210_000.0,
        3_050_000.0,
        17_160_000.0,
        31_340_000.0,
        26_620_000.0,
        27_430_000.0,
    ]),
    iterations: count(196, 2.177476),
    ws_connecting: times([1_360_000.0, 595.91, 17_640.0, 10_140_000.0, 5_590_000.0, 5_890_000.0]),
    ws_msgs_received: count(1_377_197, 15_300.071189),
    ws_msgs_sent: count(5_792, 64.346649),
    ws_session_duration: times([6_360_000.0, 2_140.0, 5_560_000.0, 21_740_000.0, 14_010_000.0, 15_950_000.0]),
    ws_sessions: count(5_792, 64.346649),
    ..NOTHING
};

const WEBSOCKET_10000: Published = Published {
    users: 10_000,
    data_received: data(65_000_000, 717_000.0),
    data_sent: data(2_600_000, 28_000.0),
    iteration_duration: times([
        18_160_000.0,
        3_030_000.0,
        14_360_000.0,
        58_080_000.0,
        38_850_000.0,
        44_150_000.0,
    ]),
    iterations: count(136, 1.509431),
    ws_connecting: times([11_860_000.0, 590.66, 3_780_000.0, 43_120_000.0, 25_550_000.0, 25_770_000.0]),
    ws_msgs_received: count(1_336_749, 14_836.253751),
    ws_msgs_sent: count(8_705, 96.614689),
    ws_session_duration: times([
        18_310_000.0,
        1_710.0,
        14_660_000.0,
        54_130_000.0,
        44_020_000.0,
        48_300_000.0,
    ]),
    ws_sessions: count(8_771, 97.347207),
    ..NOTHING
};

const STOMP_1000: Published = Published {
    users: 1_000,
    data_received: data(13_000_000, 139_000.0),
    data_sent: data(410_000, 4_600.0),
    ws_connecting: times([4_890.0, 1_460.0, 4_500.0, 48_900.0, 6_180.0, 7_410.0]),
    ws_msgs_received: count(52_490, 583.193678),
    ws_msgs_sent: count(3_000, 33.331702),
    ws_sessions: count(1_000, 11.110567),
    ..NOTHING
};

const STOMP_5000: Published = Published {
    users: 5_000,
    data_received: data(303_000_000, 3_400_000.0),
    data_sent: data(2_100_000, 23_000.0),
    ws_connecting: times([3_520.0, 488.83, 952.54, 94_020.0, 7_420.0, 14_680.0]),
    ws_msgs_received: count(1_260_821, 14_006.731584),
    ws_msgs_sent: count(15_000, 166.638225),
    ws_sessions: count(5_000, 55.546075),
    ..NOTHING
};

const STOMP_10000: Published = Published {
    users: 10_000,
    data_received: data(823_000_000, 9_100_000.0),
    data_sent: data(3_700_000, 42_000.0),
    iteration_duration: times([
        32_370_000.0,
        12_010_000.0,
        33_000_000.0,
        33_020_000.0,
        33_000_000.0,
        33_000_000.0,
    ]),
    iterations: count(878, 9.754204),
    ws_connecting: times([5_540_000.0, 434.79, 354_490.0, 43_780_000.0, 30_000_000.0, 30_000_000.0]),
    ws_msgs_received: count(3_409_118, 37_873.839154),
    ws_msgs_sent: count(24_696, 274.361),
    ws_session_duration: times([
        29_650_000.0,
        9_010_000.0,
        30_000_000.0,
        30_050_000.0,
        30_000_000.0,
        30_000_000.0,
    ]),
    ws_sessions: count(9_844, 109.362619),
    ..NOTHING
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        transport: Transport,
        users: usize,
        of: fn(&Published) -> T,
        want: T,
    ) {
        let published = published(transport, users).expect("it was published");
        assert_eq!((published.users, of(published)), (users, want), "{transport:?}");
    }

    #[test]
    fn published_figures_are_those_that_were_printed() {
        check(Transport::ShortPoll, 1000, |p| p.http_req_duration.unwrap().med_us, 1_510.0);
        check(Transport::ShortPoll, 5000, |p| p.http_reqs, count(38_255, 607.681958));
        check(Transport::ShortPoll, 10_000, |p| p.http_req_duration.unwrap().p95_us, 1_940_000.0);
        check(Transport::LongPoll, 1000, |p| p.checks, share(88.82, 5873, 739));
        check(Transport::LongPoll, 10_000, |p| p.http_req_failed, share(33.03, 18_949, 38_419));
        check(Transport::WebSocket, 1000, |p| (p.iterations, p.http_reqs), (None, None));
        check(Transport::WebSocket, 10_000, |p| p.ws_sessions.unwrap().total, 8771);
        check(Transport::Stomp, 5000, |p| p.ws_connecting.unwrap().min_us, 488.83);
        check(Transport::Stomp, 10_000, |p| p.data_received.unwrap().total, 823_000_000);
    }

    #[test]
    fn nothing_is_made_up_for_what_was_not_measured() {
        assert_eq!(published(Transport::ShortPoll, 2000), None);
        assert_eq!(published(Transport::Sse, 1000), None);
        assert_eq!(published(Transport::Http, 1000), None);
        assert_eq!(remeasured(Transport::Stomp, 5000), None);
        assert_eq!(remeasured(Transport::Http, 10_000), None);
    }

    #[test]
    fn shares_and_counts_fit_each_other() {
        let transports = [Transport::ShortPoll, Transport::LongPoll, Transport::WebSocket, Transport::Stomp];
        for (transport, users) in
            transports.iter().flat_map(|t| [1000, 5000, 10_000].map(|users| (*t, users)))
        {
            let published = published(transport, users).expect("it was published");
            for share in [published.checks, published.http_req_failed].into_iter().flatten() {
                let percent = 100.0 * share.yes as f64 / (share.yes + share.no) as f64;
                assert!((0.0..0.01).contains(&(percent - share.percent)), "{transport:?} {users} {share:?}");
            }
            if let Some(failed) = published.http_req_failed {
                assert_eq!(
                    failed.yes + failed.no,
                    published.http_reqs.unwrap().total,
                    "{transport:?} {users}"
                );
            }
            for times in [published.http_req_duration, published.ws_connecting].into_iter().flatten() {
                let rising = [times.min_us, times.med_us, times.p90_us, times.p95_us, times.max_us];
                assert!(rising.is_sorted(), "{transport:?} {users} {times:?}");
            }
        }
    }
}
