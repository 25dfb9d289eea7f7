//! Consumer groups: which there are, who is in them, and taking them away.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::{Client, KafkaError};

const LIST_CAP: i16 = 4;
/// 6 answers "not found" for a group that does not exist; before it, its state is `Dead`.
const DESCRIBE_CAP: i16 = 5;
const DESCRIBE_CONSUMER_CAP: i16 = 0;
const DELETE_CAP: i16 = 2;

/// A group as the cluster lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupListing {
    pub group: String,
    /// `Empty`, `Stable`, ...; empty where the broker is too old to say.
    pub state: String,
    /// `consumer`, or empty for a group that only stores offsets.
    pub protocol_type: String,
}

/// A group and its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDescription {
    pub group: String,
    pub state: String,
    pub protocol_type: String,
    /// How partitions are shared out: the assignor's name.
    pub assignor: String,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMember {
    pub member_id: String,
    pub client_id: String,
    pub host: String,
}

impl Client {
    /// All groups of all brokers, by name.
    ///
    /// # Errors
    /// One of the brokers does not answer: half a list would be taken for the whole.
    pub async fn list_groups(&mut self) -> Result<Vec<GroupListing>, KafkaError> {
        let mut groups = Vec::new();
        for address in self.broker_addresses().await? {
            let timeout = self.options.request_timeout;
            let (answer, _) = self.call(&address, LIST_CAP, timeout, |_| ListGroupsRequest::default()).await?;
            KafkaError::check("ListGroups", answer.error_code)?;
            groups.extend(answer.groups.into_iter().map(|group| GroupListing {
                group: group.group_id.to_string(),
                state: group.group_state.to_string(),
                protocol_type: group.protocol_type.to_string(),
            }));
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        groups.dedup_by(|a, b| a.group == b.group);
        Ok(groups)
    }

    /// One group and its members.
    ///
    /// # Errors
    /// The coordinator cannot be asked; [`KafkaError::Refused`] with `GroupIdNotFound` where there is no such group.
    pub async fn describe_group(&mut self, group: &str) -> Result<GroupDescription, KafkaError> {
        const REQUEST: &str = "DescribeGroups";
        let coordinator = self.coordinator(group).await?;
        let timeout = self.options.request_timeout;
        let make = |_| DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        let (answer, _) = self.call(&coordinator, DESCRIBE_CAP, timeout, make).await?;
        let not_found = KafkaError::Refused { request: REQUEST, error: ResponseError::GroupIdNotFound };
        let found = answer.groups.into_iter().next().ok_or_else(|| not_found.clone())?;
        KafkaError::check(REQUEST, found.error_code)?;
        if found.group_state.as_str() == "Dead" {
            // A group of the newer protocol is "dead" to the older question.
            return self.describe_consumer_group(&coordinator, group).await.map_err(|error| match error {
                KafkaError::Unsupported { .. } => not_found,
                other => other,
            });
        }
        let member = |member: &kafka_protocol::messages::describe_groups_response::DescribedGroupMember| GroupMember {
            member_id: member.member_id.to_string(),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
        };
        Ok(GroupDescription {
            group: found.group_id.to_string(),
            state: found.group_state.to_string(),
            protocol_type: found.protocol_type.to_string(),
            assignor: found.protocol_data.to_string(),
            members: found.members.iter().map(member).collect(),
        })
    }

    async fn describe_consumer_group(
        &mut self,
        coordinator: &str,
        group: &str,
    ) -> Result<GroupDescription, KafkaError> {
        const REQUEST: &str = "ConsumerGroupDescribe";
        let timeout = self.options.request_timeout;
        let make = |_| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
        let (answer, _) = self.call(coordinator, DESCRIBE_CONSUMER_CAP, timeout, make).await?;
        let missing = KafkaError::Refused { request: REQUEST, error: ResponseError::GroupIdNotFound };
        let found = answer.groups.into_iter().next().ok_or(missing)?;
        KafkaError::check(REQUEST, found.error_code)?;
        let members = found.members.iter().map(|member| GroupMember {
            member_id: member.member_id.to_string(),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
        });
        Ok(GroupDescription {
            group: found.group_id.to_string(),
            state: found.group_state.to_string(),
            protocol_type: "consumer".to_owned(),
            assignor: found.assignor_name.to_string(),
            members: members.collect(),
        })
    }

    /// Deletes a group with all offsets that it committed.
    ///
    /// # Errors
    /// There is no such group, or it has members, or the coordinator cannot be asked.
    pub async fn delete_group(&mut self, group: &str) -> Result<(), KafkaError> {
        let coordinator = self.coordinator(group).await?;
        let timeout = self.options.request_timeout;
        let make = |_| DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        let (answer, _) = self.call(&coordinator, DELETE_CAP, timeout, make).await?;
        KafkaError::check("DeleteGroups", answer.results.first().map_or(0, |result| result.error_code))
    }
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
