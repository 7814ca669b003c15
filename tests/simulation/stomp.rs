//! What STOMP clients say: subscriptions with and without acknowledgement, locations, transactions, farewells.

use std::collections::VecDeque;

use crate::harness::stomp::frame;
use crate::harness::websocket::upgrade;
use crate::life::Life;
use crate::model::Fate;
use crate::peer::{About, Receipt, Subscription};

impl Life {
    /// The handshake and CONNECT at once; other frames may follow without waiting.
    pub(crate) fn open_stomp(&mut self, index: usize) {
        let group = self.peers[index].group;
        self.ask(index, About::Opening, group, &upgrade("/location"));
        let version = self.world.chance.pick(&["1.0", "1.1", "1.2"]);
        self.peers[index].stomp.version = version;
        let mut headers = vec![("accept-version", version), ("host", "geoloop")];
        if self.once_in(3) {
            let member = self.world.chance.pick(&["s0", "s1", "s2"]);
            self.peers[index].member = Some(member.to_owned());
            headers.push(("member", member));
        }
        let (beats, promised_ms) =
            self.world.chance.pick(&[("0,0", 0), ("0,1000", 0), ("0,0", 0), ("20000,0", 20_000)]);
        self.peers[index].stomp.promised_ms = promised_ms;
        headers.push(("heart-beat", beats));
        let connect = frame("CONNECT", &headers, "");
        self.send_text(index, &connect);
        if self.once_in(2) {
            self.speak_stomp(index);
        }
    }

    /// One to four frames, in as many messages as chance has it.
    pub(crate) fn speak_stomp(&mut self, index: usize) {
        let mut frames = String::new();
        for _ in 0..1 + self.below(4) {
            if !self.peers[index].is_well() {
                break;
            }
            match self.below(20) {
                0..=4 => self.frame_subscribe(index, &mut frames),
                5..=10 => self.frame_send(index, &mut frames),
                11 | 12 => self.frame_transaction(index, &mut frames),
                13 | 14 => {
                    self.frame_acknowledge(index, &mut frames, false);
                }
                15 | 16 => self.frame_unsubscribe(index, &mut frames),
                17 if self.once_in(4) => self.frame_disconnect(index, &mut frames),
                _ => frames.push('\n'),
            }
            if self.once_in(2) {
                self.send_frames(index, &mut frames);
            }
        }
        self.send_frames(index, &mut frames);
    }

    /// Sends frames as one message, or with a cut anywhere as two.
    fn send_frames(&mut self, index: usize, frames: &mut String) {
        let frames = std::mem::take(frames);
        if frames.is_empty() {
            return;
        }
        if self.once_in(3) {
            let (first, second) = frames.split_at(self.below(frames.len()));
            self.send_text_unless_empty(index, first);
            return self.send_text_unless_empty(index, second);
        }
        self.send_text(index, &frames);
    }

    fn send_text_unless_empty(&mut self, index: usize, text: &str) {
        if !text.is_empty() {
            self.send_text(index, text);
        }
    }

    /// Asks for a receipt, for some frames or for all.
    fn want_receipt(&mut self, index: usize, receipt: Receipt, always: bool) -> Option<String> {
        if !always && self.once_in(2) {
            return None;
        }
        let stomp = &mut self.peers[index].stomp;
        let id = format!("r{}", stomp.receipts_asked);
        stomp.receipts_asked += 1;
        stomp.receipts.insert(id.clone(), receipt);
        Some(id)
    }

    fn frame_subscribe(&mut self, index: usize, frames: &mut String) {
        let subscriptions = &self.peers[index].stomp.subscriptions;
        let taken = subscriptions.iter().filter(|subscription| !subscription.ending).count();
        if taken >= self.limits.subscriptions_max {
            return;
        }
        let ordinal = subscriptions.len();
        let group = if self.once_in(2) { self.peers[index].group } else { self.draw_group() };
        let since = self.draw_since(group);
        let cursor = self.cursor_of(group, since).map(|cursor| cursor.to_string());
        let subscriber = self.subscribe(index, group, since, false);
        let ack = self.world.chance.pick(&["auto", "auto", "client", "client-individual"]);
        let acknowledges = ack != "auto";
        let asked = acknowledges.then(|| 1 + self.below(4)).filter(|_| self.once_in(3));
        let window = asked.unwrap_or(usize::MAX).min(self.limits.prefetch_count);
        self.model.subscribers[subscriber].slow = acknowledges && window < 1000;
        if let Some(member) = self.peers[index].member.clone() {
            self.model.spoken_for.insert((group, member));
        }
        let receipt = self.want_receipt(index, Receipt::Subscribed(ordinal), false);
        // Short words, UUIDs and long words are kept in different ways.
        let id = match (index + ordinal) % 3 {
            0 => format!("sub{ordinal}"),
            1 => format!("{ordinal:08x}-d9cb-469f-a165-{index:012x}"),
            _ => format!("the-subscription-with-number-{ordinal}"),
        };
        let (destination, asked) = (format!("/sub/location/{group}"), asked.map(|asked| asked.to_string()));
        let mut headers = vec![("id", id.as_str()), ("destination", &destination), ("ack", ack)];
        headers.extend(cursor.as_deref().map(|cursor| ("since", cursor)));
        headers.extend(asked.as_deref().map(|asked| ("prefetch-count", asked)));
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        frames.push_str(&frame("SUBSCRIBE", &headers, ""));
        self.peers[index].stomp.subscriptions.push(Subscription {
            id,
            group,
            subscriber,
            acknowledges,
            cumulative: ack == "client",
            window,
            to_acknowledge: VecDeque::new(),
            ending: false,
            ended: false,
        });
    }

    fn frame_send(&mut self, index: usize, frames: &mut String) {
        let group = if self.once_in(2) { self.peers[index].group } else { self.draw_group() };
        let (id, body) = self.draw_publish(index, group);
        let receipt = self.want_receipt(index, Receipt::Sent(vec![id]), false);
        let destination = self.destination(group);
        let mut headers = vec![("destination", destination.as_str())];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        frames.push_str(&frame("SEND", &headers, &body));
    }

    fn destination(&mut self, group: u64) -> String {
        if self.once_in(4) { format!("/sub/location/{group}") } else { format!("/pub/share/{group}") }
    }

    /// BEGIN, a SEND inside, COMMIT or ABORT, whichever is next.
    fn frame_transaction(&mut self, index: usize, frames: &mut String) {
        let open = self.peers[index].stomp.transactions.keys().next().cloned();
        let Some(name) = open else {
            let stomp = &mut self.peers[index].stomp;
            let name = format!("t{}", stomp.transactions_begun);
            stomp.transactions_begun += 1;
            frames.push_str(&frame("BEGIN", &[("transaction", &name)], ""));
            stomp.transactions.insert(name, Vec::new());
            return;
        };
        let mut headers = vec![("transaction", name.as_str())];
        if self.once_in(2) {
            let group = self.draw_group();
            let (id, body) = self.draw_publish(index, group);
            self.model.publishes[id].fate = Fate::Held;
            let destination = self.destination(group);
            headers.push(("destination", &destination));
            frames.push_str(&frame("SEND", &headers, &body));
            self.peers[index].stomp.transactions.entry(name).or_default().push(id);
            return;
        }
        let held = self.peers[index].stomp.transactions.remove(&name).unwrap_or_default();
        let commits = !self.once_in(3);
        for id in &held {
            self.model.publishes[*id].fate = if commits { Fate::Open } else { Fate::Refused };
        }
        let (command, receipt) = if commits {
            ("COMMIT", self.want_receipt(index, Receipt::Sent(held), false))
        } else {
            ("ABORT", self.want_receipt(index, Receipt::Plain, false))
        };
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        frames.push_str(&frame(command, &headers, ""));
    }

    /// Acknowledges some of what came, or all of it; false if nothing waits for that.
    pub(crate) fn frame_acknowledge(&mut self, index: usize, frames: &mut String, all: bool) -> bool {
        let version = self.peers[index].stomp.version;
        let mut said = false;
        for ordinal in 0..self.peers[index].stomp.subscriptions.len() {
            let subscription = &mut self.peers[index].stomp.subscriptions[ordinal];
            while let Some(last) = subscription.to_acknowledge.back().copied() {
                let seq = if subscription.cumulative {
                    subscription.to_acknowledge.clear();
                    last
                } else {
                    subscription.to_acknowledge.pop_front().unwrap_or(last)
                };
                let message = format!("{ordinal}-{seq}");
                let headers = match version {
                    "1.2" => vec![("id", message.as_str())],
                    "1.1" => vec![("message-id", message.as_str()), ("subscription", &subscription.id)],
                    _ => vec![("message-id", message.as_str())],
                };
                let command = if version == "1.0" || !seq.is_multiple_of(5) { "ACK" } else { "NACK" };
                frames.push_str(&frame(command, &headers, ""));
                said = true;
                if !all {
                    break;
                }
            }
        }
        said
    }

    /// Acknowledges all that came; false if nothing waits for that.
    pub(crate) fn acknowledge_all(&mut self, index: usize) -> bool {
        let mut frames = String::new();
        let said = self.frame_acknowledge(index, &mut frames, true);
        self.send_frames(index, &mut frames);
        said
    }

    fn frame_unsubscribe(&mut self, index: usize, frames: &mut String) {
        let ordinal = self.below(self.peers[index].stomp.subscriptions.len());
        let receipt = Receipt::Unsubscribed(ordinal);
        let Some(subscription) = self.peers[index].stomp.subscriptions.get_mut(ordinal) else { return };
        if std::mem::replace(&mut subscription.ending, true) {
            return;
        }
        let (id, group) = (subscription.id.clone(), subscription.group);
        self.model.speaking.retain(|(speaker, of, _)| (*speaker, *of) != (index, group));
        let receipt = self.want_receipt(index, receipt, false);
        let mut headers = vec![("id", id.as_str())];
        headers.extend(receipt.as_deref().map(|receipt| ("receipt", receipt)));
        frames.push_str(&frame("UNSUBSCRIBE", &headers, ""));
    }

    fn frame_disconnect(&mut self, index: usize, frames: &mut String) {
        let receipt = self.want_receipt(index, Receipt::Disconnected, true).unwrap_or_default();
        frames.push_str(&frame("DISCONNECT", &[("receipt", &receipt)], ""));
        self.peers[index].stomp.leaving = true;
        self.retire(index, "it said DISCONNECT");
    }

    /// A frame that breaks a rule of STOMP.
    pub(crate) fn break_stomp(&mut self, index: usize) {
        let text = match self.below(5) {
            0 => frame("SEND", &[], "{\"x\":1,\"y\":1}"),
            1 => frame("UNSUBSCRIBE", &[("id", "nobody's")], ""),
            2 => frame("MESSAGE", &[], ""),
            3 => frame("SEND", &[("destination", "/pub/share/1")], "{\"x\":1}"),
            _ => frame("COMMIT", &[("transaction", "none")], ""),
        };
        self.retire(index, "it broke the protocol or said goodbye");
        self.send_text(index, &text);
    }
}
