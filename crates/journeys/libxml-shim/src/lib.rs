//! Stand-in for the `libxml` bindings, so that the Hurl parser builds without the C library libxml2.
//!
//! `hurl_core` asks libxml2 for one thing only: where a bare XML body in a Hurl file ends. A binary
//! that must run on any server cannot ask for that shared library, so here the push parser answers
//! every byte with an error. The Hurl parser then reports a syntax error at the body, at its line and
//! column, and `safelight-journeys` explains it: XML goes between ```` ```xml ```` fences, which need
//! no XML parser. Nothing is called through a pointer and nothing is dereferenced: no `unsafe`.
#![allow(non_camel_case_types, non_snake_case)]

/// The names that `hurl_core` takes from the generated bindings.
pub mod bindings {
    use std::os::raw::{c_char, c_int, c_uint, c_void};

    /// One byte of text.
    pub type xmlChar = u8;
    /// Pointer to the table of callbacks.
    pub type xmlSAXHandlerPtr = *mut xmlSAXHandler;
    /// A parser under way; there is never one.
    pub type xmlParserCtxtPtr = *mut c_void;
    /// Mark of the second version of the interface.
    pub const XML_SAX2_MAGIC: c_uint = 0xDEED_BEAF;
    /// The error number libxml2 gives for a document it cannot start to read.
    pub const XML_ERR_DOCUMENT_START: c_int = 3;

    /// A callback that takes the user's pointer only.
    pub type documentFunc = unsafe extern "C" fn(*mut c_void);
    /// A callback for an opening tag.
    pub type startElementNsFunc = unsafe extern "C" fn(
        *mut c_void,
        *const xmlChar,
        *const xmlChar,
        *const xmlChar,
        c_int,
        *mut *const xmlChar,
        c_int,
        c_int,
        *mut *const xmlChar,
    );
    /// A callback for a closing tag.
    pub type endElementNsFunc =
        unsafe extern "C" fn(*mut c_void, *const xmlChar, *const xmlChar, *const xmlChar);

    /// The table of callbacks, field for field; those that no one sets are plain pointers' options.
    #[derive(Debug)]
    #[allow(missing_docs)]
    pub struct xmlSAXHandler {
        pub internalSubset: Option<documentFunc>,
        pub isStandalone: Option<documentFunc>,
        pub hasInternalSubset: Option<documentFunc>,
        pub hasExternalSubset: Option<documentFunc>,
        pub resolveEntity: Option<documentFunc>,
        pub getEntity: Option<documentFunc>,
        pub entityDecl: Option<documentFunc>,
        pub notationDecl: Option<documentFunc>,
        pub attributeDecl: Option<documentFunc>,
        pub elementDecl: Option<documentFunc>,
        pub unparsedEntityDecl: Option<documentFunc>,
        pub setDocumentLocator: Option<documentFunc>,
        pub startDocument: Option<documentFunc>,
        pub endDocument: Option<documentFunc>,
        pub startElement: Option<documentFunc>,
        pub endElement: Option<documentFunc>,
        pub reference: Option<documentFunc>,
        pub characters: Option<documentFunc>,
        pub ignorableWhitespace: Option<documentFunc>,
        pub processingInstruction: Option<documentFunc>,
        pub comment: Option<documentFunc>,
        pub warning: Option<documentFunc>,
        pub error: Option<documentFunc>,
        pub fatalError: Option<documentFunc>,
        pub getParameterEntity: Option<documentFunc>,
        pub cdataBlock: Option<documentFunc>,
        pub externalSubset: Option<documentFunc>,
        pub initialized: c_uint,
        pub _private: *mut c_void,
        pub startElementNs: Option<startElementNsFunc>,
        pub endElementNs: Option<endElementNsFunc>,
        pub serror: Option<documentFunc>,
    }

    /// Makes no parser: the answer is a null pointer, which the functions below never follow.
    pub fn xmlCreatePushParserCtxt(
        _sax: xmlSAXHandlerPtr,
        _user_data: *mut c_void,
        _chunk: *const c_char,
        _size: c_int,
        _filename: *const c_char,
    ) -> xmlParserCtxtPtr {
        std::ptr::null_mut()
    }

    /// Refuses the chunk.
    pub fn xmlParseChunk(
        _parser: xmlParserCtxtPtr,
        _chunk: *const c_char,
        _size: c_int,
        _terminate: c_int,
    ) -> c_int {
        XML_ERR_DOCUMENT_START
    }

    /// Has nothing to free.
    pub fn xmlFreeParserCtxt(_parser: xmlParserCtxtPtr) {}
}
