//! What flagstaff-eval promises, from outside.

mod bucketing;
mod context;
mod data_set;
mod expand;
mod explain;
mod hostile;
mod operators;
mod own_cases;
mod properties;
mod published_cases;
