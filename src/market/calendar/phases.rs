//! The last phases found: most instants are in the same phase as the one before.

use super::{Class, PhaseAt, Session};
use ticktide_base::time::Nanos;

/// A memory of one phase for each class. It changes the cost of a lookup, never its result.
#[derive(Clone, Debug, Default)]
pub struct Phases(Vec<Option<PhaseAt>>);

impl Phases {
    /// As [`Session::phase_at`].
    #[inline]
    pub fn at(&mut self, session: &Session, class: Class, t: Nanos) -> Option<PhaseAt> {
        match self.0.get(usize::from(class.0)) {
            Some(Some(phase)) if phase.start <= t && t < phase.end => Some(*phase),
            _ => self.look(session, class, t),
        }
    }

    #[cold]
    fn look(&mut self, session: &Session, class: Class, t: Nanos) -> Option<PhaseAt> {
        let phase = session.phase_at(class, t);
        if phase.is_some() {
            let place = usize::from(class.0);
            if self.0.len() <= place {
                self.0.resize(place + 1, None);
            }
            self.0[place] = phase;
        }
        phase
    }
}
