//! Which request has which key, and which answer.

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, FetchRequest, FetchResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, InitProducerIdRequest,
    InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

/// A request that this client makes.
pub(crate) trait Call: Message + Encodable + HeaderVersion + Sync {
    /// Its key.
    const KEY: ApiKey;
    /// The newest version that this client knows how to fill in and to read.
    const VERSION_MAX: i16;
    /// What answers it.
    type Answer: Decodable + HeaderVersion + Send;
}

macro_rules! calls {
    ($($key:ident($request:ty) -> $answer:ty, up to $version:literal;)*) => {
        $(impl Call for $request {
            const KEY: ApiKey = ApiKey::$key;
            const VERSION_MAX: i16 = $version;
            type Answer = $answer;
        })*
    };
}

// Later versions are left out where their fields mean something else: coordinators and offsets of many groups at once,
// topics by their id where we have their names.
calls! {
    ApiVersions(ApiVersionsRequest) -> ApiVersionsResponse, up to 0;
    SaslHandshake(SaslHandshakeRequest) -> SaslHandshakeResponse, up to 1;
    SaslAuthenticate(SaslAuthenticateRequest) -> SaslAuthenticateResponse, up to 2;
    Metadata(MetadataRequest) -> MetadataResponse, up to 12;
    Produce(ProduceRequest) -> ProduceResponse, up to 9;
    Fetch(FetchRequest) -> FetchResponse, up to 13;
    ListOffsets(ListOffsetsRequest) -> ListOffsetsResponse, up to 7;
    InitProducerId(InitProducerIdRequest) -> InitProducerIdResponse, up to 4;
    CreateTopics(CreateTopicsRequest) -> CreateTopicsResponse, up to 7;
    CreatePartitions(CreatePartitionsRequest) -> CreatePartitionsResponse, up to 3;
    DeleteRecords(DeleteRecordsRequest) -> DeleteRecordsResponse, up to 2;
    DescribeConfigs(DescribeConfigsRequest) -> DescribeConfigsResponse, up to 4;
    FindCoordinator(FindCoordinatorRequest) -> FindCoordinatorResponse, up to 3;
    OffsetCommit(OffsetCommitRequest) -> OffsetCommitResponse, up to 8;
    OffsetFetch(OffsetFetchRequest) -> OffsetFetchResponse, up to 7;
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse, up to 4;
    JoinGroup(JoinGroupRequest) -> JoinGroupResponse, up to 7;
    SyncGroup(SyncGroupRequest) -> SyncGroupResponse, up to 5;
    Heartbeat(HeartbeatRequest) -> HeartbeatResponse, up to 4;
    LeaveGroup(LeaveGroupRequest) -> LeaveGroupResponse, up to 2;
}
