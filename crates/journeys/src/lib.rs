//! User journeys.
