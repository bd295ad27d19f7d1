#include <bits/stdc++.h>
template <int N> struct Deep { std::map<int, std::vector<std::array<std::string, N>>> map; Deep<N - 1> next; };
template <> struct Deep<0> {};
bool match(const std::string &text) { return std::regex_match(text, std::regex("(a|b)*c+[d-f]{2,5}")); }
int main(int argc, char **argv) {
  Deep<150> deep;
  std::unordered_map<std::string, std::function<int(int)>> calls;
  calls["x"] = [&](int n) { return n + static_cast<int>(deep.map.size()); };
  return match(argv[0]) ? calls["x"](argc) : 0;
}
