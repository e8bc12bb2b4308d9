//! shards/wire
