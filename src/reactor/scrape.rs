//! Gathers every worker's counts for one scrape, and renders them.

use crate::ids::{ConnId, ShardId};
use crate::metrics;
use crate::reactor::Reactor;
use crate::reactor::mailbox::Letter;
use crate::report::Report;

/// The scrapes that wait for other workers' counts.
pub(super) struct Scrapes {
    workers: usize,
    open: Vec<Scrape>,
}

struct Scrape {
    conn: ConnId,
    reports: Vec<Option<Report>>,
}

impl Scrapes {
    pub(super) const fn new(workers: usize) -> Self {
        Self { workers, open: Vec::new() }
    }
}

impl Reactor {
    /// A connection asks for the counts: the other workers are asked for theirs.
    pub(super) fn begin_scrape(&mut self, conn: ConnId) {
        let mut reports = vec![None; self.scrapes.workers];
        reports[self.id.index()] = Some(self.report());
        self.scrapes.open.push(Scrape { conn, reports });
        for other in (0..self.scrapes.workers).filter(|other| *other != self.id.index()) {
            let to = ShardId(u16::try_from(other).expect("there are at most WORKERS_MAX workers"));
            self.post.send(to, Letter::Scrape { from: self.id, conn });
        }
        self.end_scrape(conn);
    }

    pub(super) fn add_to_scrape(&mut self, by: ShardId, conn: ConnId, report: Report) {
        if let Some(scrape) = self.scrapes.open.iter_mut().find(|scrape| scrape.conn == conn) {
            scrape.reports[by.index()] = Some(report);
            self.end_scrape(conn);
        }
    }

    /// Answers the scrape if all counts are there.
    fn end_scrape(&mut self, conn: ConnId) {
        let Some(place) = self.scrapes.open.iter().position(|scrape| scrape.conn == conn) else { return };
        if self.scrapes.open[place].reports.iter().any(Option::is_none) {
            return;
        }
        let scrape = self.scrapes.open.swap_remove(place);
        let reports: Vec<Report> = scrape.reports.into_iter().flatten().collect();
        let mut text = Vec::with_capacity(32 * 1024);
        metrics::render(&reports, &mut text);
        self.shard.handle_scraped(conn, metrics::CONTENT_TYPE, &text);
    }
}
