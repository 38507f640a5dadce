//! The kernel's numbers: messages of nf_tables and their attributes (`linux/netfilter/nf_tables.h`).

/// The part of netfilter that is nf_tables, in the upper half of a kind of message.
pub(super) const NF_TABLES: u16 = 10 << 8;
/// The fixed part of every message: family, version, and a number that batches use.
pub(super) const FIXED: usize = 4;

pub(super) const NEW_TABLE: u16 = NF_TABLES;
pub(super) const GET_TABLES: u16 = NF_TABLES | 1;
pub(super) const DELETE_TABLE: u16 = NF_TABLES | 2;
pub(super) const NEW_CHAIN: u16 = NF_TABLES | 3;
pub(super) const GET_CHAINS: u16 = NF_TABLES | 4;
pub(super) const DELETE_CHAIN: u16 = NF_TABLES | 5;
pub(super) const NEW_RULE: u16 = NF_TABLES | 6;
pub(super) const GET_RULES: u16 = NF_TABLES | 7;
pub(super) const DELETE_RULE: u16 = NF_TABLES | 8;
pub(super) const GET_GENERATION: u16 = NF_TABLES | 16;
/// What encloses the messages of a transaction, and the generation that it follows.
pub(super) const BEGIN: u16 = 0x10;
pub(super) const END: u16 = 0x11;
pub(super) const BATCH_GENERATION: u16 = 1;

pub(super) const GENERATION: u16 = 1;

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;

pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;

pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;

/// Of a list of expressions, and of one expression in it.
pub(super) const ELEMENT: u16 = 1;
pub(super) const NAME: u16 = 1;
pub(super) const DATA: u16 = 2;
/// Of data within an expression.
pub(super) const VALUE: u16 = 1;
pub(super) const VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;

pub(super) const META_TO: u16 = 1;
pub(super) const META_KEY: u16 = 2;
pub(super) const META_FROM: u16 = 3;

pub(super) const PAYLOAD_TO: u16 = 1;
pub(super) const PAYLOAD_HEADER: u16 = 2;
pub(super) const PAYLOAD_OFFSET: u16 = 3;
pub(super) const PAYLOAD_LENGTH: u16 = 4;

pub(super) const CONNTRACK_TO: u16 = 1;
pub(super) const CONNTRACK_KEY: u16 = 2;
pub(super) const CONNTRACK_DIRECTION: u16 = 3;
pub(super) const CONNTRACK_FROM: u16 = 4;

pub(super) const BITWISE_FROM: u16 = 1;
pub(super) const BITWISE_TO: u16 = 2;
pub(super) const BITWISE_LENGTH: u16 = 3;
pub(super) const BITWISE_MASK: u16 = 4;
pub(super) const BITWISE_FLIPPED: u16 = 5;
pub(super) const BITWISE_OPERATION: u16 = 6;

pub(super) const COMPARE_FROM: u16 = 1;
pub(super) const COMPARE_OPERATION: u16 = 2;
pub(super) const COMPARE_WITH: u16 = 3;

pub(super) const IMMEDIATE_TO: u16 = 1;
pub(super) const IMMEDIATE_DATA: u16 = 2;

pub(super) const REDIRECT_PORT: u16 = 1;
pub(super) const REDIRECT_LAST_PORT: u16 = 2;
pub(super) const REDIRECT_FLAGS: u16 = 3;

pub(super) const TPROXY_FAMILY: u16 = 1;
pub(super) const TPROXY_ADDRESS: u16 = 2;
pub(super) const TPROXY_PORT: u16 = 3;
