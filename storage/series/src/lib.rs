//! storage/series
