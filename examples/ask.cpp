// ask MODEL MEMORY QUESTION: what the model answers, and where what it retrieved for that comes from.
#include <lookback/lookback.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 4) throw lookback::Error("usage: ask MODEL MEMORY QUESTION");
  const lookback::LanguageModel model(argv[1]);
  lookback::Session session(model, lookback::Memories(model, {argv[2]}));
  const lookback::Answer answer = session.ask(argv[3], {.sampling = {.greedy = true}, .explain = true});
  std::cout << answer.text << "\n";
  for (const lookback::RetrievedSources& retrieved : answer.retrieved) {
    for (const lookback::Source& source : retrieved.sources) {
      std::cout << source.weight << "\t" << source.document << "\t" << source.text_begin << "\n";
    }
  }
} catch (const lookback::Error& error) {
  std::cerr << "ask: " << error.what() << "\n";
  return 1;
}
