//! A group: who listens over which transport, and what its last updates were answered as.

use crate::speak::{self, SEQ_DIGITS, SEQ_FLOOR};

/// Groups that there are, by the last digits of their numbers: two that share a place are one group here.
pub(crate) const GROUPS: usize = 4096;

/// Answers to long polls that a group keeps, so that what is published between two polls of a client is not lost to it.
/// One that comes later gets the oldest.
const HISTORY: u64 = 128;

/// How a subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Event,
    Text,
    Message,
    LongPoll,
}

pub(crate) const FORMS: [Form; 4] = [Form::Event, Form::Text, Form::Message, Form::LongPoll];

#[derive(Debug)]
pub(crate) struct Group {
    /// The newest number, and how many came before it.
    seq: [u8; SEQ_DIGITS],
    end: u64,
    /// Its number, as a STOMP subscriber spelled it.
    pub(crate) digits: Vec<u8>,
    /// The newest update.
    pub(crate) update: Vec<u8>,
    /// What a short poll is answered with, and one that has it.
    pub(crate) current: Vec<u8>,
    pub(crate) unchanged: Vec<u8>,
    answers: Vec<Vec<u8>>,
    /// The connections that listen, by form.
    pub(crate) listeners: [Vec<u32>; FORMS.len()],
    /// What is to be said to them, by form.
    pub(crate) unsaid: [Vec<u8>; FORMS.len()],
    pub(crate) is_dirty: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            seq: SEQ_FLOOR,
            end: 0,
            digits: Vec::new(),
            update: Vec::new(),
            current: Vec::new(),
            unchanged: Vec::new(),
            answers: Vec::new(),
            listeners: Default::default(),
            unsaid: Default::default(),
            is_dirty: false,
        }
    }
}

impl Group {
    /// Numbers what a publisher said, and renders it for those who listen.
    pub(crate) fn publish(&mut self, said: &[u8]) {
        count_up(&mut self.seq);
        self.update.clear();
        speak::update(&mut self.update, &self.seq, said);
        self.current.clear();
        speak::current(&mut self.current, &self.seq, &self.update);
        self.unchanged.clear();
        speak::unchanged(&mut self.unchanged, &self.seq);
        let place = (self.end % HISTORY) as usize;
        if self.answers.len() == place {
            self.answers.push(Vec::new());
        }
        self.answers[place].clear();
        speak::long_poll(&mut self.answers[place], &self.seq, &self.update);
        self.end += 1;
        for form in FORMS {
            if self.listeners[form as usize].is_empty() {
                continue;
            }
            let out = &mut self.unsaid[form as usize];
            match form {
                Form::Event => speak::event(out, &self.seq, &self.update),
                Form::Text => speak::text(out, &self.update),
                Form::Message => speak::message(out, &self.digits, &self.seq, &self.update),
                // One answer a poll: what follows it waits for the next poll.
                Form::LongPoll if out.is_empty() => out.extend_from_slice(&self.answers[place]),
                Form::LongPoll => {}
            }
        }
    }

    /// Whether these digits are the newest number.
    pub(crate) fn is_newest(&self, digits: &[u8]) -> bool {
        digits == self.seq
    }

    /// The answer to a long poll that has everything up to `seq`, if it is there.
    pub(crate) fn answer_after(&self, seq: usize) -> Option<&[u8]> {
        let had = (seq as u64).saturating_sub(speak::number(&SEQ_FLOOR) as u64);
        let next = had.max(self.end.saturating_sub(HISTORY));
        (next < self.end).then(|| &*self.answers[(next % HISTORY) as usize])
    }

    /// Appends the answer to one that asks for the cursor.
    pub(crate) fn encode_cursor(&self, out: &mut Vec<u8>) {
        speak::cursor(out, &self.seq);
    }
}

/// Adds one to a decimal number where it stands.
fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_over() {
        let mut digits = *b"1000000000000998";
        for expected in [b"1000000000000999", b"1000000000001000", b"1000000000001001"] {
            count_up(&mut digits);
            assert_eq!(&digits, expected);
        }
    }

    #[test]
    fn a_long_poll_gets_what_follows_its_cursor() {
        let mut group = Group::default();
        let floor = speak::number(&SEQ_FLOOR);
        assert_eq!(group.answer_after(floor), None);
        for number in 1..=HISTORY as usize + 5 {
            group.publish(format!(r#""x":7,"y":{number}"#).as_bytes());
        }
        #[track_caller]
        fn check(group: &Group, seq: usize, expected: Option<usize>) {
            let answer = group.answer_after(seq).map(|answer| String::from_utf8(answer.to_vec()).unwrap());
            let number = answer.as_deref().and_then(|answer| answer.split_once(r#""y":"#));
            let number = number.map(|(_, rest)| speak::number(rest.as_bytes()));
            assert_eq!(number, expected, "{answer:?}");
        }
        let newest = HISTORY as usize + 5;
        check(&group, floor + newest, None);
        check(&group, floor + newest - 1, Some(newest));
        check(&group, floor + 7, Some(8));
        check(&group, floor, Some(6));
        check(&group, 0, Some(6));
    }
}
