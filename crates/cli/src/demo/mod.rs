//! `flowline demo`: a project from the template, a node, and simulated customers who use it over HTTP.

mod shop;
mod traffic;

pub use shop::{Mistakes, Shop};
pub use traffic::{Traffic, TrafficCounts};
