//! The columns of a dataset, and what refers to them.

use expect_test::expect;

use crate::support::{ORDERS, check_dataset};

#[test]
fn columns() {
    check_dataset(
        "\
owner: team-shop
zone: clean
from: { source: http }
columns:
  - { name: Order ID, type: string }
  - { name: _offset, type: int64 }
  - { name: amount, type: decmal }
  - { name: price, type: \"decimal(40,2)\" }
  - { name: note, type: varchar }
  - { name: id, type: string }
  - { name: id, type: string }
  - { name: other, type: string, field: id }
  - { name: day, type: string, format: \"%Y\" }
  - { name: ts, type: timestamp, format: \"hello\" }
  - { name: rule, type: string, check: \"\" }
key: [nothing]
",
        expect![[r#"
            error[invalid-value]: `Order ID` is not the name of a column
             --> datasets/shop/orders.yaml:5:13
              |
            5 |   - { name: Order ID, type: string }
              |             ^^^^^^^^
              |
              = help: write `name: order_id` and `field: "Order ID"`

            error[invalid-value]: `_offset` begins with `_`, and such names are Flowline's own
             --> datasets/shop/orders.yaml:6:13
              |
            6 |   - { name: _offset, type: int64 }
              |             ^^^^^^^
              |
              = help: write lower-case letters, digits and `_`, first a letter, at most 63 characters; the name in the received record goes into `field`

            error[invalid-value]: unknown type `decmal`
             --> datasets/shop/orders.yaml:7:27
              |
            7 |   - { name: amount, type: decmal }
              |                           ^^^^^^
              |
              = help: did you mean `decimal(18,2)`?

            error[invalid-value]: `decimal(40,2)` is not a decimal that can be kept: 1 to 38 digits, scale at most the precision
             --> datasets/shop/orders.yaml:8:26
              |
            8 |   - { name: price, type: "decimal(40,2)" }
              |                          ^^^^^^^^^^^^^^^^
              |
              = help: `decimal(12,2)` has 12 digits, 2 of them behind the point

            error[invalid-value]: unknown type `varchar`
             --> datasets/shop/orders.yaml:9:25
              |
            9 |   - { name: note, type: varchar }
              |                         ^^^^^^^
              |
              = help: did you mean `string`?

            error[duplicate-name]: there are two columns `id`
              --> datasets/shop/orders.yaml:11:13
               |
            11 |   - { name: id, type: string }
               |             ^^
               |
               = help: the other is on line 10

            error[duplicate-name]: two columns take their values from `id`
              --> datasets/shop/orders.yaml:12:41
               |
            12 |   - { name: other, type: string, field: id }
               |                                         ^^
               |
               = help: the other is on line 10

            error[conflict]: `format` is for dates and timestamps, and `day` is string
              --> datasets/shop/orders.yaml:13:32
               |
            13 |   - { name: day, type: string, format: "%Y" }
               |                                ^^^^^^

            error[invalid-value]: `hello` is not a date pattern
              --> datasets/shop/orders.yaml:14:42
               |
            14 |   - { name: ts, type: timestamp, format: "hello" }
               |                                          ^^^^^^^^
               |
               = help: write `strftime` fields: `%Y-%m-%d %H:%M:%S`, `%m/%d/%Y`; or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` for numbers since 1970

            error[invalid-value]: this is empty, and an SQL expression belongs here
              --> datasets/shop/orders.yaml:15:40
               |
            15 |   - { name: rule, type: string, check: "" }
               |                                        ^^^
               |
               = help: write a condition over the columns of one row: `amount >= 0`

            10 errors
        "#]],
    );
}

#[test]
fn names_that_refer_to_columns() {
    check_dataset(
        &format!(
            "{ORDERS}key: [oder_id, order_id, order_id]\nevent_time: {{ column: amount }}\npartition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]\n"
        ),
        expect![[r#"
            error[unknown-name]: there is no column `oder_id`
             --> datasets/shop/orders.yaml:8:7
              |
            8 | key: [oder_id, order_id, order_id]
              |       ^^^^^^^
              |
              = help: did you mean `order_id`? possible here: order_id, amount, ts

            error[duplicate-name]: `order_id` stands twice in the key
             --> datasets/shop/orders.yaml:8:26
              |
            8 | key: [oder_id, order_id, order_id]
              |                          ^^^^^^^^

            error[conflict]: `amount` is decimal(12,2) and cannot say when a record happened
             --> datasets/shop/orders.yaml:9:23
              |
            9 | event_time: { column: amount }
              |                       ^^^^^^
              |
              = help: name a timestamp or a date

            error[unknown-name]: there is no column `tz`
              --> datasets/shop/orders.yaml:10:16
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                ^^^^^^^
               |
               = help: did you mean `ts`? possible here: order_id, amount, ts

            error[conflict]: splitting by the timestamp `ts` makes a folder for each instant
              --> datasets/shop/orders.yaml:10:25
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                         ^^
               |
               = help: write `day(ts)`

            error[conflict]: `order_id` is string and has no day, month or year
              --> datasets/shop/orders.yaml:10:29
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                             ^^^^^^^^^^^^^
               |
               = help: name a timestamp or a date

            error[conflict]: a table cannot be split by `amount`, which is decimal(12,2)
              --> datasets/shop/orders.yaml:10:44
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                                            ^^^^^^

            error[invalid-value]: tables cannot be split by `days`
              --> datasets/shop/orders.yaml:10:52
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                                                    ^^^^^^^^
               |
               = help: did you mean `day(ts)`?

            error[duplicate-name]: this needs a column `ts_year`, and there is one already
              --> datasets/shop/orders.yaml:10:72
               |
            10 | partition_by: [day(tz), ts, day(order_id), amount, days(ts), year(ts), year(ts)]
               |                                                                        ^^^^^^^^

            9 errors
        "#]],
    );
}
