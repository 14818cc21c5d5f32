//! Messages beside the bodies, which Pingora knows for sessions of protocols of one's own. Ours have
//! none.

/// What a session answers that has no such messages.
macro_rules! no_messages {
    () => {
        fn take_custom_message_reader(&mut self) -> Option<$crate::proxy::messages::Reader> {
            None
        }

        fn restore_custom_message_reader(
            &mut self,
            _reader: $crate::proxy::messages::Reader,
        ) -> ::pingora_error::Result<()> {
            $crate::proxy::messages::none()
        }

        fn take_custom_message_writer(&mut self) -> Option<$crate::proxy::messages::Writer> {
            None
        }

        fn restore_custom_message_writer(
            &mut self,
            _writer: $crate::proxy::messages::Writer,
        ) -> ::pingora_error::Result<()> {
            $crate::proxy::messages::none()
        }
    };
}

use bytes::Bytes;
use futures_util::Stream;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_error::{Error, ErrorType, Result};

pub(super) use no_messages;

pub(super) type Reader = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;
pub(super) type Writer = Box<dyn CustomMessageWrite>;

pub(super) fn none() -> Result<()> {
    Error::e_explain(ErrorType::InternalError, "there are no custom messages")
}
