//! Any bytes are a frame or a violation, and a frame of the original's kinds has one encoding.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use route_native::mux::{Dialect, Frame};

fuzz_target!(|message: &[u8]| {
    for dialect in [Dialect::Original, Dialect::Extended] {
        if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(message), dialect) {
            let encoded = frame.encode();
            assert_eq!(Frame::decode(encoded.clone(), dialect), Ok(frame));
            if message[0] < 4 {
                assert_eq!(&encoded[..], message);
            }
        }
    }
});
