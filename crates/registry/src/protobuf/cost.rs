//! What decoding a record takes, found out before it is decoded.
//!
//! Decoding makes a value of everything that a record holds, and telling it as JSON goes through all fields of a type for
//! each message of it: two bytes of a record may come to a kilobyte of memory, or to a walk through thousands of fields.
//! Owns: the bound of that. Does not own: the bound of the JSON (`writer`).

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value};

use crate::writer::DEPTH_MAX;

/// What decoding a record may take, bytes of memory.
const MEMORY_BYTES_MAX: usize = 256 << 20;
/// A value in a list that grows: it is there up to three times while the list is copied to where there is room.
const VALUE_BYTES: usize = 192;
const _: () =
    assert!(3 * size_of::<Value>() <= VALUE_BYTES, "a value has become larger than it is taken for");
/// What a message takes beside its values as soon as it has one: a node of a tree with room for eleven.
const MESSAGE_BYTES: usize = 768;
/// Going by one field that a type declares takes as long as filling so many bytes of memory.
const FIELD_BYTES: usize = 16;

const ANY: &str = "google.protobuf.Any";

/// What records of one schema may cost, whatever they hold.
#[derive(Debug)]
pub(super) struct Costs {
    /// More than any byte of a record can cost.
    byte_max: usize,
    /// Whether records may hold records of which only their bytes say the type.
    has_any: bool,
}

impl Costs {
    /// Goes through all types that a schema knows.
    pub(super) fn of(pool: &prost_reflect::DescriptorPool) -> Self {
        let (mut fields, mut default) = (0, 0);
        for message in pool.all_messages() {
            let declared = &message.descriptor_proto().field;
            fields = fields.max(2 * declared.len() + message.extensions().len());
            default = declared.iter().map(|field| field.default_value().len()).fold(default, usize::max);
        }
        for extension in pool.all_extensions() {
            default = default.max(extension.field_descriptor_proto().default_value().len());
        }
        let byte_max = VALUE_BYTES + MESSAGE_BYTES + FIELD_BYTES * fields + default;
        Self { byte_max, has_any: pool.get_message_by_name(ANY).is_some() }
    }

    /// Decodes a record, if that takes no more memory than there is for one. Cost: nothing before it is decoded where it
    /// is so short that it cannot take more; otherwise one pass over its bytes.
    pub(super) fn decode(&self, message: MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, String> {
        let mut budget = Budget { left: MEMORY_BYTES_MAX };
        // One byte more for the record itself, which may be empty.
        if (bytes.len() + 1).saturating_mul(self.byte_max) > MEMORY_BYTES_MAX {
            budget.check(&message, bytes)?;
        }
        let record = DynamicMessage::decode(message, bytes).map_err(|error| error.to_string())?;
        if self.has_any {
            budget.unpack(&record, 0)?;
        }
        Ok(record)
    }
}

/// What may still be spent on a record.
struct Budget {
    left: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            format!(
                "decoding it takes more than {MEMORY_BYTES_MAX} bytes of memory: send it as smaller records"
            )
        })?;
        Ok(())
    }

    /// Goes over the bytes of a message without making anything of them.
    fn check(&mut self, message: &MessageDescriptor, bytes: &[u8]) -> Result<(), String> {
        let mut scan = Scan { budget: self, bytes, at: 0 };
        scan.message(Some(message), bytes.len(), None, 0)
    }

    /// Does the same for what a decoded message holds in `google.protobuf.Any`, at any depth.
    fn unpack(&mut self, message: &DynamicMessage, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        if let Some((inside, bytes)) = packed(message) {
            self.check(&inside, &bytes)?;
            // What cannot be decoded is told when it is written.
            if let Ok(inside) = DynamicMessage::decode(inside, bytes.as_slice()) {
                self.unpack(&inside, depth + 1)?;
            }
        }
        let values = message.fields().map(|(_, value)| value);
        values
            .chain(message.extensions().map(|(_, value)| value))
            .try_for_each(|value| self.unpack_value(value, depth))
    }

    fn unpack_value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        match value {
            Value::Message(message) => self.unpack(message, depth + 1),
            Value::List(values) => values.iter().try_for_each(|value| self.unpack_value(value, depth)),
            Value::Map(values) => values.values().try_for_each(|value| self.unpack_value(value, depth)),
            _ => Ok(()),
        }
    }
}

/// The type and the bytes that a message of this kind holds, read as they are read when it is written.
fn packed(message: &DynamicMessage) -> Option<(MessageDescriptor, Vec<u8>)> {
    let descriptor = message.descriptor();
    if descriptor.full_name() != ANY {
        return None;
    }
    let any: prost_types::Any = message.transcode_to().ok()?;
    let (_, name) = any.type_url.rsplit_once('/')?;
    Some((descriptor.parent_pool().get_message_by_name(name)?, any.value))
}

fn too_deep() -> String {
    format!("it is nested deeper than {DEPTH_MAX} levels")
}

/// A field that a type declares.
struct Slot {
    kind: Kind,
    is_list: bool,
    /// What a value costs beside its own place.
    bytes: usize,
}

impl Slot {
    fn of(message: &MessageDescriptor, number: u32) -> Option<Self> {
        if let Some(field) = message.get_field(number) {
            // A value is its default first; and the others of a oneof are taken away.
            let beside = field.containing_oneof().map_or(0, |oneof| oneof.fields().len());
            let bytes = field.field_descriptor_proto().default_value().len() + FIELD_BYTES * beside;
            return Some(Self { kind: field.kind(), is_list: field.is_list(), bytes });
        }
        let extension = message.get_extension(number)?;
        let bytes = extension.field_descriptor_proto().default_value().len();
        Some(Self { kind: extension.kind(), is_list: extension.is_list(), bytes })
    }

    /// How many numbers stand in these bytes, where they stand in them without a name each.
    fn count(&self, bytes: &[u8]) -> usize {
        match self.kind {
            _ if !self.is_list => 0,
            Kind::String | Kind::Bytes | Kind::Message(_) => 0,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => bytes.len() / 8,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => bytes.len() / 4,
            _ => bytes.iter().filter(|byte| **byte < 0x80).count(),
        }
    }
}

/// Goes over the bytes of one message.
struct Scan<'a> {
    budget: &'a mut Budget,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn broken<T>(&self) -> Result<T, String> {
        Err(format!(
            "it is no Protobuf record: what stands at byte {} of the message is cut off or no field",
            self.at
        ))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for (place, byte) in self.bytes[self.at..].iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.at += place + 1;
                return Ok(value);
            }
        }
        self.broken()
    }

    fn take(&mut self, count: u64, end: usize) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).ok();
        match count.and_then(|count| self.at.checked_add(count)).filter(|stop| *stop <= end) {
            Some(stop) => Ok(&self.bytes[std::mem::replace(&mut self.at, stop)..stop]),
            None => self.broken(),
        }
    }

    /// The fields up to a place, or up to the end of a group. What is not known has no type.
    fn message(
        &mut self,
        message: Option<&MessageDescriptor>,
        end: usize,
        group: Option<u32>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let declared = message.map_or(0, |message| message.fields().len() + message.extensions().len());
        let empty = group.is_none() && self.at == end;
        self.budget.spend(FIELD_BYTES * declared + if empty { 0 } else { MESSAGE_BYTES })?;
        while group.is_some() || self.at < end {
            let Ok(key) = u32::try_from(self.varint()?) else { return self.broken() };
            match (key >> 3, key & 7) {
                (number, 4) if group == Some(number) => return Ok(()),
                (number, wire) => self.field(message, number, wire, end, depth)?,
            }
        }
        if self.at == end { Ok(()) } else { self.broken() }
    }

    fn field(
        &mut self,
        message: Option<&MessageDescriptor>,
        number: u32,
        wire: u32,
        end: usize,
        depth: usize,
    ) -> Result<(), String> {
        let slot = message.and_then(|message| Slot::of(message, number));
        let extensions = message.map_or(0, |message| message.extensions().len());
        self.budget
            .spend(VALUE_BYTES + FIELD_BYTES * extensions + slot.as_ref().map_or(0, |slot| slot.bytes))?;
        let inside = match &slot {
            Some(Slot { kind: Kind::Message(inside), .. }) => Some(inside),
            _ => None,
        };
        match wire {
            0 => self.varint().map(|_| ()),
            1 => self.take(8, end).map(|_| ()),
            2 => {
                let (length, start) = (self.varint()?, self.at);
                let bytes = self.take(length, end)?;
                if let Some(slot) = &slot {
                    self.budget.spend(VALUE_BYTES * slot.count(bytes))?;
                }
                let Some(inside) = inside else { return Ok(()) };
                let end = std::mem::replace(&mut self.at, start);
                // The entry of a map is no level of its own.
                self.message(Some(inside), end, None, depth + usize::from(!inside.is_map_entry()))
            }
            3 => self.message(inside, end, Some(number), depth + 1),
            5 => self.take(4, end).map(|_| ()),
            _ => self.broken(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use prost::encoding::{WireType, encode_key, encode_varint};
    use prost_reflect::DynamicMessage;

    use super::super::ProtobufSchema;
    use super::{Budget, MEMORY_BYTES_MAX};

    const PROTO: &str = r#"syntax = "proto2";
        message T {
          repeated int32 numbers = 1 [packed = true]; optional T inside = 2; optional string text = 3;
          map<int32, T> map = 4; repeated group G = 5 { optional int32 x = 1; optional T t = 2; }
          optional fixed64 wide = 6; optional fixed32 narrow = 7; repeated T list = 8;
          oneof either { int32 left = 9; T right = 10; }
          extensions 20 to 30;
        }
        extend T { repeated sint32 extended = 20 [packed = true]; optional T around = 21; }"#;

    fn field(number: u32, wire: WireType, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, wire, &mut bytes);
        if wire == WireType::LengthDelimited {
            encode_varint(value.len() as u64, &mut bytes);
        }
        bytes.extend_from_slice(value);
        if wire == WireType::StartGroup {
            encode_key(number, WireType::EndGroup, &mut bytes);
        }
        bytes
    }

    fn varint(value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_varint(value, &mut bytes);
        bytes
    }

    /// Fields of `T` and unknown ones, groups among them.
    fn fields() -> impl Strategy<Value = Vec<u8>> {
        let number = |numbers: &'static [u32]| prop::sample::select(numbers);
        let leaf = prop_oneof![
            (number(&[1, 9, 20, 40]), any::<u64>()).prop_map(|(n, v)| field(n, WireType::Varint, &varint(v))),
            (number(&[6, 40]), any::<[u8; 8]>()).prop_map(|(n, v)| field(n, WireType::SixtyFourBit, &v)),
            (number(&[7, 40]), any::<[u8; 4]>()).prop_map(|(n, v)| field(n, WireType::ThirtyTwoBit, &v)),
            (number(&[1, 3, 20, 40]), "[a-z]{0,5}").prop_map(|(n, v)| field(
                n,
                WireType::LengthDelimited,
                v.as_bytes()
            )),
        ];
        leaf.prop_recursive(5, 64, 4, move |inner| {
            let inside = prop::collection::vec(inner, 0..4).prop_map(|fields| fields.concat());
            prop_oneof![
                (number(&[2, 4, 8, 10, 21, 40]), inside.clone()).prop_map(|(n, v)| field(
                    n,
                    WireType::LengthDelimited,
                    &v
                )),
                (number(&[5, 40]), inside).prop_map(|(n, v)| field(n, WireType::StartGroup, &v)),
            ]
        })
    }

    #[test]
    fn what_can_be_decoded_is_let_through() {
        let schema = ProtobufSchema::parse(PROTO, &[]).expect("a schema");
        let message = schema.file.messages().next().expect("a message");
        let (decoded, cut) = (Cell::new(0), any::<prop::sample::Index>());
        let records = (prop::collection::vec(fields(), 1..4), cut);
        let mut runner = TestRunner::new(Config::with_cases(1_000));
        let checked = runner.run(&records, |(fields, cut)| {
            let whole = fields.concat();
            for bytes in [&whole[..], &whole[..cut.index(whole.len())]] {
                let mut budget = Budget { left: MEMORY_BYTES_MAX };
                let checked = budget.check(&message, bytes);
                if DynamicMessage::decode(message.clone(), bytes).is_ok() {
                    prop_assert_eq!(checked, Ok(()));
                    prop_assert!(
                        MEMORY_BYTES_MAX - budget.left <= (bytes.len() + 1) * schema.costs.byte_max,
                        "a short record is not looked at before it is decoded, and may not cost more"
                    );
                    decoded.set(decoded.get() + 1);
                }
            }
            Ok(())
        });
        checked.expect("everything that is decoded is let through");
        assert!(decoded.get() > 500, "only {} records were any", decoded.get());
    }
}
