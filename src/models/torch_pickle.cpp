#include "models/torch_pickle.h"

#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

struct Value;
using Values = std::vector<Value>;

struct None {};
struct Mark {};
struct Global {
  std::string name;  // "module attribute"
};
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
};
struct Storage {
  at::ScalarType type;
  std::string key;
};
struct Tuple {
  Values items;
};

// Dictionaries and tuples are shared, as in Python: the memo holds the object that later opcodes fill. They belong to
// the machine, for they may hold themselves, and each other as deep as a file likes.
struct Value {
  std::variant<None, Mark, bool, std::int64_t, double, std::string, Global, Dict*, Tuple*, Storage, at::Tensor> held;
};

at::ScalarType storage_type(const std::string& name, const std::string& source) {
  static const std::map<std::string, at::ScalarType> types = {
      {"torch FloatStorage", at::kFloat},   {"torch HalfStorage", at::kHalf}, {"torch BFloat16Storage", at::kBFloat16},
      {"torch DoubleStorage", at::kDouble}, {"torch LongStorage", at::kLong}, {"torch IntStorage", at::kInt},
      {"torch ShortStorage", at::kShort},   {"torch CharStorage", at::kChar}, {"torch ByteStorage", at::kByte},
      {"torch BoolStorage", at::kBool}};
  const auto found = types.find(name);
  if (found == types.end()) fail("{}: storages of type \"{}\" are not supported", source, name);
  return found->second;
}

// Values are of use as long as it lives.
class Machine {
 public:
  Machine(std::string_view pickle, const StorageReader& read_storage, const std::string& source)
      : rest_(pickle), read_storage_(read_storage), source_(source) {}

  Value run() {
    while (true) {
      const char opcode = take(1)[0];
      if (opcode == '.') return pop();
      step(opcode);
    }
  }

 private:
  [[noreturn]] void damaged(const char* what) const {
    fail("{}: not a state dict of tensors, or damaged: {}", source_, what);
  }

  std::string_view take(std::size_t count) {
    if (rest_.size() < count) damaged("it ends early");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  template <typename T>
  T take_number() {
    T number;
    const std::string_view bytes = take(sizeof number);
    std::memcpy(&number, bytes.data(), bytes.size());
    return number;
  }

  std::string take_line() {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) damaged("it ends early");
    std::string line(take(end));
    take(1);
    return line;
  }

  Value pop() {
    if (stack_.empty()) damaged("its stack is empty");
    Value value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }

  template <typename T>
  void push(T value) {
    stack_.push_back(Value{std::move(value)});
  }

  Values pop_to_mark() {
    Values values;
    while (true) {
      Value value = pop();
      if (std::holds_alternative<Mark>(value.held)) break;
      values.push_back(std::move(value));
    }
    return {std::make_move_iterator(values.rbegin()), std::make_move_iterator(values.rend())};
  }

  template <typename T>
  T as(const Value& value, const char* what) const {
    const T* const held = std::get_if<T>(&value.held);
    if (held == nullptr) damaged(what);
    return *held;
  }

  void push_tuple(Values items) { push(&tuples_.emplace_back(Tuple{std::move(items)})); }

  void push_tuple_of(std::size_t count) {
    Values items(count);
    for (std::size_t i = count; i > 0; --i) items[i - 1] = pop();
    push_tuple(std::move(items));
  }

  void set_items(const Values& items) {
    if (items.size() % 2 != 0 || stack_.empty()) damaged("a dictionary entry lacks its value");
    Dict* const dict = as<Dict*>(stack_.back(), "items are set on something that is no dictionary");
    for (std::size_t i = 0; i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
  }

  void memoize(std::uint32_t index) {
    if (stack_.empty()) damaged("its stack is empty");
    memo_[index] = stack_.back();
  }

  void recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged("it refers to an object that is not there");
    stack_.push_back(found->second);
  }

  void push_storage() {
    const Tuple* const id = as<Tuple*>(pop(), "a storage's id is no tuple");
    if (id->items.size() < 3 || as<std::string>(id->items[0], "a storage's id has no kind") != "storage") {
      damaged("an object that is no storage is referred to");
    }
    push(Storage{storage_type(as<Global>(id->items[1], "a storage has no type").name, source_),
                 as<std::string>(id->items[2], "a storage has no key")});
  }

  void call() {
    const Tuple* const arguments = as<Tuple*>(pop(), "a call has no arguments");
    const std::string name = as<Global>(pop(), "something that is no function is called").name;
    if (name == "collections OrderedDict" && arguments->items.empty()) {
      push(&dicts_.emplace_back());
    } else if (name == "torch._utils _rebuild_tensor_v2") {
      push(rebuild_tensor(arguments->items));
    } else if (name == "torch._utils _rebuild_parameter" && !arguments->items.empty()) {
      push(as<at::Tensor>(arguments->items[0], "a parameter holds no tensor"));
    } else {
      fail("{}: refused: it wants to call \"{}\", which is no part of a state dict", source_, name);
    }
  }

  std::vector<std::int64_t> integers(const Value& value) const {
    std::vector<std::int64_t> numbers;
    for (const Value& item : as<Tuple*>(value, "a shape is no tuple")->items) {
      numbers.push_back(as<std::int64_t>(item, "a shape holds something that is no integer"));
    }
    return numbers;
  }

  // (storage, offset, size, stride, requires_grad, backward_hooks)
  at::Tensor rebuild_tensor(const Values& arguments) {
    if (arguments.size() < 4) damaged("a tensor lacks its shape");
    const auto storage = as<Storage>(arguments[0], "a tensor has no storage");
    const auto offset = as<std::int64_t>(arguments[1], "a tensor's offset is no integer");
    const std::vector<std::int64_t> sizes = integers(arguments[2]);
    const std::vector<std::int64_t> strides = integers(arguments[3]);
    const std::string bytes = read_storage_(storage.key);
    const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(storage.type));
    const auto elements = static_cast<std::int64_t>(bytes.size()) / element_bytes;
    if (sizes.size() != strides.size() || offset < 0) damaged("a tensor's shape and strides differ");
    __int128 last = offset;
    bool empty = false;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] < 0 || strides[i] < 0) damaged("a tensor has a negative size or stride");
      empty = empty || sizes[i] == 0;
      last += static_cast<__int128>(std::max<std::int64_t>(sizes[i] - 1, 0)) * strides[i];
    }
    if (empty) return at::empty(sizes, storage.type);
    if (last >= elements) damaged("a tensor reaches beyond its storage");
    at::Tensor flat = at::empty({elements}, storage.type);
    std::memcpy(flat.data_ptr(), bytes.data(), static_cast<std::size_t>(elements * element_bytes));
    return at::as_strided(flat, sizes, strides, offset).clone(at::MemoryFormat::Contiguous);
  }

  void step(char opcode) {
    switch (opcode) {
      case '\x80':
        take(1);
        break;  // PROTO
      case '(':
        push(Mark{});
        break;  // MARK
      case '}':
        push(&dicts_.emplace_back());
        break;  // EMPTY_DICT
      case ')':
        push_tuple({});
        break;  // EMPTY_TUPLE
      case '\x85':
        push_tuple_of(1);
        break;  // TUPLE1
      case '\x86':
        push_tuple_of(2);
        break;  // TUPLE2
      case '\x87':
        push_tuple_of(3);
        break;  // TUPLE3
      case 't':
        push_tuple(pop_to_mark());
        break;  // TUPLE
      case 'X':
        push(std::string(take(take_number<std::uint32_t>())));
        break;  // BINUNICODE
      case 'K':
        push<std::int64_t>(take_number<std::uint8_t>());
        break;  // BININT1
      case 'M':
        push<std::int64_t>(take_number<std::uint16_t>());
        break;  // BININT2
      case 'J':
        push<std::int64_t>(take_number<std::int32_t>());
        break;  // BININT
      case '\x8a':
        push_long();
        break;  // LONG1
      case 'G':
        take(8);
        push(0.0);
        break;  // BINFLOAT, used by nothing we keep
      case '\x88':
        push(true);
        break;  // NEWTRUE
      case '\x89':
        push(false);
        break;  // NEWFALSE
      case 'N':
        push(None{});
        break;  // NONE
      case 'c':
        push_global();
        break;  // GLOBAL
      case 'Q':
        push_storage();
        break;  // BINPERSID
      case 'R':
        call();
        break;  // REDUCE
      case 'q':
        memoize(take_number<std::uint8_t>());
        break;  // BINPUT
      case 'r':
        memoize(take_number<std::uint32_t>());
        break;  // LONG_BINPUT
      case 'h':
        recall(take_number<std::uint8_t>());
        break;  // BINGET
      case 'j':
        recall(take_number<std::uint32_t>());
        break;  // LONG_BINGET
      case 's':
        set_one_item();
        break;  // SETITEM
      case 'u':
        set_items(pop_to_mark());
        break;  // SETITEMS
      case 'b':
        pop();
        break;  // BUILD: a state dict's attributes (_metadata) say nothing of its tensors
      default:
        damaged("it holds objects that no state dict holds");
    }
  }

  void set_one_item() {
    Value value = pop();
    Value key = pop();
    set_items({std::move(key), std::move(value)});
  }

  void push_global() {
    std::string module = take_line();
    push(Global{module + " " + take_line()});
  }

  void push_long() {
    const std::string_view bytes = take(take_number<std::uint8_t>());
    if (bytes.size() > sizeof(std::int64_t)) damaged("an integer is too large");
    std::int64_t number = !bytes.empty() && (bytes.back() & '\x80') != 0 ? -1 : 0;
    std::memcpy(&number, bytes.data(), bytes.size());
    push(number);
  }

  std::string_view rest_;
  const StorageReader& read_storage_;
  const std::string& source_;
  std::deque<Dict> dicts_;
  std::deque<Tuple> tuples_;
  Values stack_;
  std::map<std::uint32_t, Value> memo_;
};

}  // namespace

NamedTensors read_state_dict_pickle(std::string_view pickle, const StorageReader& read_storage,
                                    const std::string& source) {
  Machine machine(pickle, read_storage, source);
  const Value value = machine.run();
  const auto* const dict = std::get_if<Dict*>(&value.held);
  require(dict != nullptr, "{}: expected a mapping of names to tensors", source);
  NamedTensors tensors;
  for (const auto& [key, entry] : (*dict)->entries) {
    const auto* const name = std::get_if<std::string>(&key.held);
    const auto* const tensor = std::get_if<at::Tensor>(&entry.held);
    require(name != nullptr && tensor != nullptr, "{}: expected a mapping of names to tensors; entry {} is none",
            source, name != nullptr ? *name : "?");
    tensors.emplace_back(*name, *tensor);
  }
  return tensors;
}

}  // namespace lookback
