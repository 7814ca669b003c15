//! The subscriptions of a STOMP connection, by place.
//!
//! Most connections have one with `ack:auto` and a short id: that one is plain, and takes a few bytes of the slot. With
//! another beside it, or with any that is not plain, all of them are in a table:
//!
//! ```text
//!   plain: id            ─ another subscription ─>   table: [id a 0] [id b 1 window] [ ] [id d 3]
//!   (the last ordinal)   <─ the last one ends, and the next one is plain ─
//! ```
//!
//! Invariant: while there is a plain subscription the table is empty, and none was made since.

use crate::ids::Seq;
use crate::session::Event;
use crate::session::stomp::Stomp;
use crate::session::stomp::error::StompError;
use crate::session::stomp::subscription::{Entry, Name, Subscription, Window};

impl Stomp {
    /// A subscription by its place in the table.
    #[must_use]
    pub fn subscription(&self, sub: u16) -> Option<Subscription<'_>> {
        match &self.plain {
            Some(id) if sub == 0 => Some(Subscription::plain(id, self.subscribed_ever - 1)),
            Some(_) => None,
            None => self.table().get(usize::from(sub))?.as_ref().map(Entry::subscription),
        }
    }

    /// What the subscription in this place may have on its way; `None` if its messages are not acknowledged.
    pub fn window_mut(&mut self, sub: u16) -> Option<&mut Window> {
        self.more.as_mut()?.table.get_mut(usize::from(sub))?.as_mut()?.window.as_deref_mut()
    }

    /// Forgets a subscription that an [`Event::Unsubscribe`] named, once that is done.
    pub fn remove_subscription(&mut self, sub: u16) {
        if sub == 0 && self.plain.take().is_some() {
            return;
        }
        let Some(more) = &mut self.more else { return };
        if let Some(place) = more.table.get_mut(usize::from(sub)) {
            *place = None;
        }
        if more.table.iter().all(Option::is_none) {
            more.table = Vec::new();
        }
        self.tidy();
    }

    /// How many subscriptions there are.
    pub(super) fn subscriptions(&self) -> usize {
        usize::from(self.plain.is_some()) + self.table().iter().flatten().count()
    }

    /// Puts a subscription into the first free place.
    pub(super) fn add(&mut self, name: Name, window: Option<Box<Window>>) -> usize {
        let ordinal = self.subscribed_ever;
        self.subscribed_ever += 1;
        if let Some(id) = name.short().filter(|_| window.is_none() && self.subscriptions() == 0) {
            self.plain = Some(id);
            return 0;
        }
        let more = self.more.get_or_insert_default();
        if let Some(id) = self.plain.take() {
            let name = Name::Id(id.spell().bytes().into());
            more.table.reserve_exact(2);
            more.table.push(Some(Entry { name, ordinal: ordinal - 1, window: None }));
        }
        let place = more.table.iter().position(Option::is_none).unwrap_or_else(|| {
            more.table.reserve_exact(1);
            more.table.push(None);
            more.table.len() - 1
        });
        more.table[place] = Some(Entry { name, ordinal, window });
        place
    }

    /// The place of the subscription with this name.
    pub(super) fn place(&self, name: &Name) -> Option<usize> {
        if self.plain.is_some() {
            return (self.plain == name.short()).then_some(0);
        }
        self.table().iter().position(|place| place.as_ref().is_some_and(|entry| entry.name == *name))
    }

    /// Takes an acknowledgement; one for a subscription that has ended since is late, not wrong.
    pub(super) fn acknowledge(&mut self, ordinal: u32, seq: Seq) -> Result<Option<Event>, StompError> {
        if ordinal >= self.subscribed_ever {
            return Err(StompError::NotSent);
        }
        let mut entries = self.more.iter_mut().flat_map(|more| &mut more.table).flatten();
        let entry = entries.find(|entry| entry.ordinal == ordinal);
        let is_news = entry.and_then(|entry| entry.window.as_mut()).is_some_and(|sent| sent.acknowledge(seq));
        Ok(is_news.then_some(Event::Acknowledged))
    }

    /// The subscriptions that are not plain, by place.
    fn table(&self) -> &[Option<Entry>] {
        self.more.as_ref().map_or(&[], |more| &more.table)
    }
}
