//! What can go wrong between this client and Kafka.

use flowline_base::{Classify, ErrorKind};
use kafka_protocol::error::ResponseError;

/// The error codes of Kafka that callers tell apart.
pub mod code {
    /// The offset is before the oldest or behind the newest.
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    /// No such topic or partition.
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    /// Somebody else leads the partition.
    pub const NOT_LEADER: i16 = 6;
    /// The request waited too long; it may have been done.
    pub const REQUEST_TIMED_OUT: i16 = 7;
    /// The batch is larger than the topic allows.
    pub const MESSAGE_TOO_LARGE: i16 = 10;
    /// The coordinator of the group is elsewhere.
    pub const NOT_COORDINATOR: i16 = 16;
    /// The batch is larger than a segment of the topic.
    pub const RECORD_LIST_TOO_LARGE: i16 = 18;
    /// The batch was appended but not copied to as many replicas as it must be.
    pub const NOT_ENOUGH_REPLICAS_AFTER_APPEND: i16 = 20;
    /// The member belongs to an earlier generation of its group.
    pub const ILLEGAL_GENERATION: i16 = 22;
    /// The group does not know the member.
    pub const UNKNOWN_MEMBER_ID: i16 = 25;
    /// The group shares its partitions out anew.
    pub const REBALANCE_IN_PROGRESS: i16 = 27;
    /// The topic is there already.
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    /// The topic has as many partitions already, or more.
    pub const INVALID_PARTITIONS: i16 = 37;
    /// The sequence number is not the next one.
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
    /// The batch was appended before.
    pub const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
    /// A newer epoch of the producer has written.
    pub const INVALID_PRODUCER_EPOCH: i16 = 47;
    /// The broker has forgotten the producer.
    pub const UNKNOWN_PRODUCER_ID: i16 = 59;
    /// The member must join once more, with the id that it was given.
    pub const MEMBER_ID_REQUIRED: i16 = 79;
    /// The records cannot be stored as they are.
    pub const INVALID_RECORD: i16 = 87;
    /// Another producer has taken over.
    pub const PRODUCER_FENCED: i16 = 90;
    /// No topic has this id: it was deleted.
    pub const UNKNOWN_TOPIC_ID: i16 = 100;
    /// The id and the partition do not belong together: the topic was made again.
    pub const INCONSISTENT_TOPIC_ID: i16 = 103;
}

/// What went wrong, where, and (through [`Classify`]) what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// No broker answers.
    #[error("no broker of the Kafka cluster at {brokers} can be reached: {reason}")]
    Unreachable {
        /// Those that were tried.
        brokers: String,
        /// The last failure.
        reason: String,
    },
    /// A connection failed: whether the request was carried out is not known.
    #[error("the connection to the Kafka broker {broker} failed while {action}: {reason}")]
    Connection {
        /// Host and port.
        broker: String,
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// The broker does not let us in.
    #[error("the Kafka broker {broker} does not let us in: {reason}; mend `security` of the environment")]
    Login {
        /// Host and port.
        broker: String,
        /// What the broker says.
        reason: String,
    },
    /// Kafka refused a request.
    #[error("Kafka refused {action}: {reason}")]
    Refused {
        /// What was asked for.
        action: String,
        /// One of [`code`].
        code: i16,
        /// What Kafka says.
        reason: String,
    },
    /// The broker is too old or too new.
    #[error("the Kafka broker {broker} does not know a version of {request} that this client knows")]
    Version {
        /// Host and port.
        broker: String,
        /// The request.
        request: String,
    },
    /// An answer that cannot be read.
    #[error("what the Kafka broker {broker} answered to {request} cannot be read: {reason}")]
    Malformed {
        /// Host and port.
        broker: String,
        /// The request.
        request: String,
        /// What does not hold.
        reason: String,
    },
    /// Stored records that cannot be read.
    #[error(
        "records of the Kafka topic `{topic}`, partition {partition}, cannot be read at offset {offset}: {reason}"
    )]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where.
        offset: i64,
        /// What does not hold.
        reason: String,
    },
    /// The topic is another one of the same name.
    #[error("the Kafka topic `{topic}` was deleted and made again: its offsets begin anew")]
    Replaced {
        /// The topic.
        topic: String,
    },
    /// The settings cannot be used.
    #[error("the settings of Kafka cannot be used: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },
}

/// What a connection was doing when a request was on its way.
pub(crate) const WAITING: &str = "waiting for an answer";

impl KafkaError {
    /// A refusal with one of Kafka's codes.
    pub(crate) fn refused(action: impl Into<String>, code: i16) -> Self {
        let reason = ResponseError::try_from_code(code).map_or_else(String::new, |error| error.to_string());
        Self::Refused { action: action.into(), code, reason: reason.trim_end_matches('.').to_owned() }
    }

    /// The code of a refusal; none of another failure.
    pub fn code(&self) -> Option<i16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether what was asked for may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Connection { action, .. } => *action == WAITING,
            Self::Malformed { .. } => true,
            Self::Refused { code, .. } => matches!(
                *code,
                code::REQUEST_TIMED_OUT
                    | code::NOT_ENOUGH_REPLICAS_AFTER_APPEND
                    | code::DUPLICATE_SEQUENCE_NUMBER
            ),
            _ => false,
        }
    }
}

/// An error for a code that is not zero.
pub(crate) fn check(code: i16, action: impl FnOnce() -> String) -> Result<(), KafkaError> {
    if code == 0 { Ok(()) } else { Err(KafkaError::refused(action(), code)) }
}

impl Classify for KafkaError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Connection { .. } => ErrorKind::Transient,
            Self::Login { .. } => ErrorKind::Denied,
            Self::Refused { code, .. } => kind_of(*code),
            Self::Version { .. } | Self::Settings { .. } => ErrorKind::Input,
            Self::Malformed { .. } => ErrorKind::Internal,
            Self::Records { .. } | Self::Replaced { .. } => ErrorKind::Corrupt,
        }
    }
}

fn kind_of(refusal: i16) -> ErrorKind {
    match ResponseError::try_from_code(refusal) {
        Some(
            ResponseError::TopicAuthorizationFailed
            | ResponseError::GroupAuthorizationFailed
            | ResponseError::ClusterAuthorizationFailed
            | ResponseError::SaslAuthenticationFailed,
        ) => ErrorKind::Denied,
        Some(
            ResponseError::MessageTooLarge
            | ResponseError::RecordListTooLarge
            | ResponseError::InvalidRecord
            | ResponseError::InvalidTopicException
            | ResponseError::InvalidReplicationFactor
            | ResponseError::InvalidConfig
            | ResponseError::InvalidPartitions
            | ResponseError::PolicyViolation,
        ) => ErrorKind::Input,
        Some(ResponseError::OffsetOutOfRange) => ErrorKind::NotFound,
        Some(error) if error.is_retriable() => ErrorKind::Transient,
        // The member joins again.
        Some(
            ResponseError::IllegalGeneration
            | ResponseError::UnknownMemberId
            | ResponseError::RebalanceInProgress,
        ) => ErrorKind::Transient,
        _ => ErrorKind::Internal,
    }
}
