//! The steps of a plan that is made once of schemas, which may refer to themselves.
//!
//! Owns: that each place is planned once, and that planning ends. Does not own: what a step does.

use std::collections::HashMap;
use std::hash::Hash;

use crate::writer::TYPES_DEPTH_MAX;

/// The number of a step.
pub(crate) type StepId = usize;

/// Steps under way, by the places of the schemas that they are of.
#[derive(Debug)]
pub(crate) struct Steps<K, S> {
    /// None while a step is under way.
    steps: Vec<Option<S>>,
    made: HashMap<K, StepId>,
    depth: usize,
    max: usize,
}

/// A step that is asked for.
pub(crate) enum Begun {
    /// It was asked for before.
    Made(StepId),
    /// It is to be made, and given to [`Steps::end`].
    New(StepId),
}

impl<K: Eq + Hash, S> Steps<K, S> {
    /// No steps yet; there may be so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { steps: Vec::new(), made: HashMap::new(), depth: 0, max }
    }

    /// Asks for the step of a place. None when there are too many, or they lie too deep in each other.
    pub(crate) fn begin(&mut self, place: K) -> Option<Begun> {
        if let Some(made) = self.made.get(&place) {
            return Some(Begun::Made(*made));
        }
        if self.full() || self.depth == TYPES_DEPTH_MAX {
            return None;
        }
        let id = self.steps.len();
        self.steps.push(None);
        self.made.insert(place, id);
        self.depth += 1;
        Some(Begun::New(id))
    }

    /// Ends the step that was begun last.
    pub(crate) fn end(&mut self, id: StepId, step: S) -> StepId {
        self.depth -= 1;
        self.steps[id] = Some(step);
        id
    }

    /// Adds a step of no place.
    pub(crate) fn add(&mut self, step: S) -> StepId {
        self.steps.push(Some(step));
        self.steps.len() - 1
    }

    /// Whether there are as many as there may be.
    pub(crate) fn full(&self) -> bool {
        self.steps.len() >= self.max
    }

    /// A step; none while it is under way.
    pub(crate) fn get(&self, id: StepId) -> Option<&S> {
        self.steps.get(id)?.as_ref()
    }

    /// All of them; none when one is under way still.
    pub(crate) fn finish(self) -> Option<Vec<S>> {
        self.steps.into_iter().collect()
    }
}
