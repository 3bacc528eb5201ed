//! Changes that somebody hears of who is sent values: several at once are one.

use std::sync::Arc;

use flagstaff_eval::DataSet;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::{LiveEnvironment, Moment, News, NotInitialized, Subject};

/// Changes that were heard, and what values are made from after them.
#[derive(Debug)]
pub struct Heard {
    /// What they are about.
    pub subjects: Vec<Arc<Subject>>,
    /// The moment to which they led.
    pub moment: Moment,
    /// What there is then.
    pub data: Arc<DataSet>,
}

impl LiveEnvironment {
    /// What is left to be heard of changes, and what values are made from after all of them: nothing falls between the
    /// two. None where more than changes is heard.
    ///
    /// # Errors
    /// If there is nothing yet.
    pub fn hear_out(&self, news: &mut Receiver<News>) -> Result<Option<Heard>, NotInitialized> {
        // No change comes while this is held.
        let state = self.state();
        let mut subjects = Vec::new();
        loop {
            match news.try_recv() {
                Ok(News::Change(change)) => subjects.push(change.subject),
                Ok(News::Everything) | Err(TryRecvError::Lagged(_)) => return Ok(None),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let (moment, data) = self.evaluable_in(&state)?;
        Ok(Some(Heard { subjects, moment, data }))
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_eval::model;

    use super::super::filtered::tests::about;
    use super::super::{FlagTags, MOST_BEHIND, Update};
    use super::*;

    fn change(live: &LiveEnvironment, count: usize) {
        let first = live.sequence() + 1;
        let numbers = first..first + count as u64;
        let flag =
            |version| model::Flag { key: format!("flag-{version}"), version, ..model::Flag::default() };
        let updates = numbers.clone().map(|version| Update::Flag(Box::new(flag(version)))).collect();
        live.apply(updates, FlagTags::new(), &numbers.map(Moment::from).collect::<Vec<_>>());
    }

    /// A selector that is sent afterwards names that moment: nothing that led to it may be left out.
    #[test]
    fn whoever_hears_of_a_change_hears_of_all_that_led_to_what_there_is() {
        let live = LiveEnvironment::new(about(1), Vec::new(), Vec::new());
        let mut news = live.news();
        (0..3).for_each(|_| change(&live, 1));
        let Ok(News::Change(first)) = news.try_recv() else { panic!("it was told of three changes") };
        let heard = live.hear_out(&mut news).unwrap().expect("changes alone");
        assert_eq!((first.moment.sequence, heard.moment.sequence), (2, 4));
        let affected = heard.subjects.iter().flat_map(|subject| subject.affected(&heard.data));
        let mut affected: Vec<&str> = affected.map(|key| &**key).collect();
        affected.sort_unstable();
        assert_eq!(affected, ["flag-3", "flag-4"]);
        assert_eq!(news.try_recv().err(), Some(TryRecvError::Empty));
    }

    #[test]
    fn whoever_cannot_hear_of_each_change_is_told_so() {
        let live = LiveEnvironment::new(about(1), Vec::new(), Vec::new());
        let (mut at_one_stroke, mut one_by_one) = (live.news(), live.news());
        change(&live, MOST_BEHIND);
        assert!(live.hear_out(&mut at_one_stroke).unwrap().is_none());
        assert_eq!(at_one_stroke.try_recv().err(), Some(TryRecvError::Empty), "that was one piece of news");
        (0..MOST_BEHIND).for_each(|_| change(&live, 1));
        assert!(live.hear_out(&mut one_by_one).unwrap().is_none());
    }
}
