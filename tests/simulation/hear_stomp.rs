//! What STOMP clients are told.

use std::time::Duration;

use crate::harness::stomp::Frame;
use crate::life::Life;
use crate::model::Fate;
use crate::peer::Receipt;

impl Life {
    pub(crate) fn hear_frame(&mut self, index: usize, frame: &Frame) {
        match frame.command.as_str() {
            "CONNECTED" => {
                let stomp = &mut self.peers[index].stomp;
                assert_eq!(frame.header("version"), Some(stomp.version), "{frame:?}");
                assert!(!std::mem::replace(&mut stomp.connected, true), "peer {index} is connected twice");
            }
            "MESSAGE" => self.hear_message(index, frame),
            "RECEIPT" => {
                let receipt = self.peers[index].stomp.receipts.remove(frame.needed_header("receipt-id"));
                let receipt =
                    receipt.unwrap_or_else(|| panic!("peer {index} asked for no such receipt: {frame:?}"));
                self.hear_receipt(index, receipt);
            }
            _ => self.hear_error(index, frame),
        }
    }

    fn hear_message(&mut self, index: usize, frame: &Frame) {
        let update = frame.update();
        let subscriptions = &mut self.peers[index].stomp.subscriptions;
        let id = frame.needed_header("subscription");
        let ordinal = subscriptions.iter().position(|subscription| subscription.id == id);
        let ordinal = ordinal.unwrap_or_else(|| panic!("peer {index} has no such subscription: {frame:?}"));
        let subscription = &mut subscriptions[ordinal];
        assert!(!subscription.ended, "peer {index} is told after its subscription ended: {frame:?}");
        let destination = format!("/sub/location/{}", subscription.group);
        assert_eq!(frame.header("destination"), Some(destination.as_str()), "peer {index}");
        let message = format!("{ordinal}-{}", update.seq);
        assert_eq!(frame.header("message-id"), Some(message.as_str()), "peer {index}");
        let ack = subscription.acknowledges.then_some(message.as_str());
        assert_eq!(frame.header("ack"), ack, "peer {index}");
        if subscription.acknowledges {
            subscription.to_acknowledge.push_back(update.seq);
            let (waiting, window) = (subscription.to_acknowledge.len(), subscription.window);
            assert!(waiting <= window, "peer {index} has {waiting} unacknowledged messages of {window}");
        }
        let subscriber = subscription.subscriber;
        self.model.receive(subscriber, &update, self.world.now.tick.0);
    }

    /// A receipt says that something has taken effect: a watched group's witness knows of it.
    fn hear_receipt(&mut self, index: usize, receipt: Receipt) {
        match receipt {
            Receipt::Plain => {}
            Receipt::Subscribed(ordinal) => {
                let subscription = &self.peers[index].stomp.subscriptions[ordinal];
                let group = subscription.group;
                // A connection that is refused something, or owes beats, may be over before its peer knows.
                let may_end =
                    self.peers[index].stomp.promised_ms > 0 || self.may_refuse() || self.is_draining();
                let is_sure = !subscription.ending && !may_end;
                self.model.note_opened(subscription.subscriber);
                if let Some(member) = self.peers[index].member.clone().filter(|_| is_sure) {
                    self.model.speaking.insert((index, group, member));
                }
            }
            Receipt::Sent(ids) => {
                for id in ids {
                    let publish = &mut self.model.publishes[id];
                    publish.receipted = true;
                    let is_open = publish.fate == Fate::Open && publish.at.is_none();
                    let group = publish.group;
                    assert!(
                        !is_open || !self.model.is_watched(group),
                        "peer {index} has a receipt for publish {id}, which nobody was told of"
                    );
                }
            }
            Receipt::Unsubscribed(ordinal) => self.peers[index].stomp.subscriptions[ordinal].ended = true,
            Receipt::Disconnected => {
                let unheard = self.model.unheard(index);
                assert!(unheard.is_empty(), "peer {index} may go, but publishes {unheard:?} came to nothing");
            }
        }
    }

    fn hear_error(&mut self, index: usize, frame: &Frame) {
        let (draining, may_refuse) = (self.is_draining(), self.may_refuse());
        let socket = &self.world.sockets[index];
        // What waited for its socket may be told long after it was said.
        let slow = !socket.quick;
        let silence = socket.silence;
        let peer = &mut self.peers[index];
        let promised = Duration::from_millis(peer.stomp.promised_ms);
        let reason = match frame.header("message") {
            Some("draining") => {
                peer.told_drain = true;
                draining
            }
            Some("refused") => may_refuse || peer.excuse.is_some(),
            Some("no heart-beat") => !promised.is_zero() && (slow || silence >= promised * 2),
            Some("connect timeout") => {
                let waited = self.world.now.tick.since(peer.answered_at);
                !peer.stomp.connected && (slow || waited >= self.limits.connect_timeout)
            }
            _ => peer.excuse.is_some(),
        };
        assert!(reason, "peer {index} is told of an error that it did not make: {frame:?}");
        if peer.excuse.is_none() {
            self.retire(index, "it was told of an error");
        }
    }
}
