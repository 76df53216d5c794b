# sentencepiece::static: SentencePiece's inference and trainers, from the sources that tools/fetch_sentencepiece.sh got.
# Without them there is no such target, and .model files are refused with a message that says so.
set(LOOKBACK_SENTENCEPIECE_ROOT "${PROJECT_SOURCE_DIR}/.deps/sentencepiece" CACHE PATH "SentencePiece's C++ sources")
if(NOT EXISTS "${LOOKBACK_SENTENCEPIECE_ROOT}/src/sentencepiece_processor.cc")
  message(STATUS "No SentencePiece sources in ${LOOKBACK_SENTENCEPIECE_ROOT}: built without .model tokenizers")
  return()
endif()

set(_sp "${LOOKBACK_SENTENCEPIECE_ROOT}")
file(GLOB _sp_protobuf "${_sp}/third_party/protobuf-lite/*.cc")
file(READ "${_sp}/VERSION.txt" _sp_version)
string(STRIP "${_sp_version}" _sp_version)
file(WRITE "${PROJECT_BINARY_DIR}/sentencepiece/config.h.tmp"
     "#define VERSION \"${_sp_version}\"\n#define PACKAGE \"sentencepiece\"\n#define PACKAGE_STRING \"sentencepiece\"\n")
configure_file("${PROJECT_BINARY_DIR}/sentencepiece/config.h.tmp" "${PROJECT_BINARY_DIR}/sentencepiece/config.h" COPYONLY)

add_library(lookback_sentencepiece STATIC
  ${_sp}/src/builtin_pb/sentencepiece.pb.cc ${_sp}/src/builtin_pb/sentencepiece_model.pb.cc
  ${_sp}/src/bpe_model.cc ${_sp}/src/char_model.cc ${_sp}/src/error.cc ${_sp}/src/filesystem.cc
  ${_sp}/src/model_factory.cc ${_sp}/src/model_interface.cc ${_sp}/src/normalizer.cc
  ${_sp}/src/sentencepiece_processor.cc ${_sp}/src/unigram_model.cc ${_sp}/src/util.cc ${_sp}/src/word_model.cc
  ${_sp}/src/builder.cc ${_sp}/src/bpe_model_trainer.cc ${_sp}/src/char_model_trainer.cc
  ${_sp}/src/pretokenizer_for_training.cc ${_sp}/src/sentencepiece_trainer.cc ${_sp}/src/trainer_factory.cc
  ${_sp}/src/trainer_interface.cc ${_sp}/src/unicode_script.cc ${_sp}/src/unigram_model_trainer.cc
  ${_sp}/src/word_model_trainer.cc
  ${_sp}/third_party/absl/flags/flag.cc ${_sp_protobuf})
target_include_directories(lookback_sentencepiece SYSTEM PUBLIC ${_sp}/src ${_sp}/src/builtin_pb
  ${_sp}/third_party/protobuf-lite)
target_include_directories(lookback_sentencepiece SYSTEM PRIVATE ${PROJECT_BINARY_DIR}/sentencepiece ${_sp})
target_compile_definitions(lookback_sentencepiece PRIVATE HAVE_PTHREAD=1 _USE_INTERNAL_STRING_VIEW)
target_compile_options(lookback_sentencepiece PRIVATE -w)
set_target_properties(lookback_sentencepiece PROPERTIES CXX_STANDARD 17 UNITY_BUILD ${LOOKBACK_UNITY} UNITY_BUILD_BATCH_SIZE 5)
set_source_files_properties(${_sp_protobuf} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
target_link_libraries(lookback_sentencepiece PRIVATE Threads::Threads)
add_library(sentencepiece::static ALIAS lookback_sentencepiece)
